"""Staged resets of factors, and names that are searched by their beginnings."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEYS = (("username_key", 255), ("email_key", 320))


def upgrade() -> None:
    """Create the table; compare names byte by byte, as SQLite does, whatever the locale."""
    op.create_table(
        "factor_reset",
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.String(length=32), nullable=False),
        sa.Column("approved_by", sa.String(length=32), nullable=True),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_factor_reset"),
    )
    op.create_index("ix_factor_reset_due_at", "factor_reset", ["due_at"])
    _collate('"C"')


def downgrade() -> None:
    """Drop the table, and the resets that wait."""
    _collate('"default"')
    op.drop_table("factor_reset")


def _collate(collation: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name, length in _KEYS:
            op.execute(
                f"ALTER TABLE account ALTER COLUMN {name} TYPE varchar({length}) "
                f"COLLATE {collation}"
            )
