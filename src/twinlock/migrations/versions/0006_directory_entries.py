"""What a host's directory tells of its accounts."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0006"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and find subjects by the host's id, closed ones included."""
    op.create_table(
        "directory_entry",
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_directory_entry"),
    )
    op.create_index("ix_subject_host_id", "subject", ["host_id"])


def downgrade() -> None:
    """Drop both; the subjects stay."""
    op.drop_index("ix_subject_host_id", table_name="subject")
    op.drop_table("directory_entry")
