"""Accounts are found by the beginning of their holders' names, along an index."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from twinlock.accounts.names import name_key

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BATCH = 2_000
_ACCOUNT = sa.table("account", sa.column("id"), sa.column("full_name"), sa.column("name_key"))
_NAMED = (
    sa.select(_ACCOUNT.c.id, _ACCOUNT.c.full_name)
    .where(_ACCOUNT.c.id > sa.bindparam("after"))
    .order_by(_ACCOUNT.c.id)
    .limit(_BATCH)
)
_SET = (
    sa.update(_ACCOUNT)
    .where(_ACCOUNT.c.id == sa.bindparam("account"))
    .values(name_key=sa.bindparam("key"))
)


def upgrade() -> None:
    """Add the key, write those of the names that are there, and index it."""
    connection = op.get_bind()
    op.add_column("account", sa.Column("name_key", sa.String(length=255), nullable=True))
    if connection.dialect.name == "postgresql":
        op.execute('ALTER TABLE account ALTER COLUMN name_key TYPE VARCHAR(255) COLLATE "C"')
    after = ""
    while rows := connection.execute(_NAMED, {"after": after}).all():
        _write(connection, [(row.id, row.full_name) for row in rows])
        after = rows[-1].id
    op.create_index("ix_account_name_key_username_key", "account", ["name_key", "username_key"])


def downgrade() -> None:
    """Drop both; the names stay."""
    op.drop_index("ix_account_name_key_username_key", table_name="account")
    op.drop_column("account", "name_key")


def _write(connection: sa.Connection, named: Sequence[tuple[str, str | None]]) -> None:
    keys = [{"account": id_, "key": name_key(name)} for id_, name in named if name]
    if keys:
        connection.execute(_SET, keys)
