"""The audit chain."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; the events that are there become its first batches."""
    op.create_table(
        "audit_chain",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_id", sa.String(length=32), nullable=False),
        sa.Column("to_id", sa.String(length=32), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("events_digest", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_chain"),
    )


def downgrade() -> None:
    """Drop the table; the events stay."""
    op.drop_table("audit_chain")
