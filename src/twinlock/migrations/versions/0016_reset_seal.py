"""A staged reset of factors is sealed, so that nobody stages one by writing to the database."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import Id, UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table anew; no migration holds a key, so what waits must be asked for again."""
    op.drop_table("factor_reset")
    op.create_table(
        "factor_reset",
        sa.Column("subject_id", Id, primary_key=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", Id, nullable=False),
        sa.Column("approved_by", Id, nullable=True),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_factor_reset_due_at", "factor_reset", ["due_at"])


def downgrade() -> None:
    """Drop the seal; what waits stays."""
    op.drop_column("factor_reset", "seal")
