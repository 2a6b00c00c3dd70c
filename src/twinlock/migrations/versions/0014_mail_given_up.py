"""Mails that were given up are kept until they expire, with what the mail server said."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_WHERE = sa.text("given_up_at IS NOT NULL")


def upgrade() -> None:
    """Add the columns, and an index of the few that were given up."""
    op.add_column("outbox", sa.Column("given_up_at", UtcDateTime(), nullable=True))
    op.add_column("outbox", sa.Column("error", sa.String(length=100), nullable=True))
    op.create_index(
        "ix_outbox_given_up",
        "outbox",
        ["created_at", "id"],
        sqlite_where=_WHERE,
        postgresql_where=_WHERE,
    )


def downgrade() -> None:
    """Wipe what was given up, as before, and drop them."""
    op.execute("UPDATE outbox SET sealed = NULL WHERE given_up_at IS NOT NULL")
    op.drop_index("ix_outbox_given_up", table_name="outbox")
    op.drop_column("outbox", "error")
    op.drop_column("outbox", "given_up_at")
