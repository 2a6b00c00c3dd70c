"""How far the reminders before a policy's date have come."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "policy_reminder",
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("days_before", sa.Integer(), nullable=False),
        sa.Column("after_moment", UtcDateTime(), nullable=False),
        sa.Column("after_id", sa.String(length=32), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("due_at", "days_before", name="pk_policy_reminder"),
    )


def downgrade() -> None:
    """Drop the table; rounds that are under way begin anew after the next upgrade."""
    op.drop_table("policy_reminder")
