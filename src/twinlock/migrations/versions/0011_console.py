"""Hourly counts for the console's overview, and indexes of the few accounts it looks for."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0011"
down_revision = "0004"
branch_labels = None
depends_on = None

_IS_ADMIN = sa.text("(' ' || roles || ' ') LIKE '% admin %'")
_IS_DISABLED = sa.text("disabled_at IS NOT NULL")


def upgrade() -> None:
    """Create the table and the indexes; the upkeep counts what is there within minutes."""
    op.create_table(
        "tally",
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "hour", name="pk_tally"),
    )
    op.create_index("ix_tally_hour", "tally", ["hour"])
    for name, columns, where in (
        ("ix_account_admins", ["created_at", "id", "disabled_at"], _IS_ADMIN),
        ("ix_account_disabled", ["created_at", "id"], _IS_DISABLED),
    ):
        op.create_index(name, "account", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop them; everything in them can be counted again."""
    op.drop_index("ix_account_disabled", table_name="account")
    op.drop_index("ix_account_admins", table_name="account")
    op.drop_index("ix_tally_hour", table_name="tally")
    op.drop_table("tally")
