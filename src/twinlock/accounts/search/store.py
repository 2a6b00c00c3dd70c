"""SQL that finds accounts by the beginning of a name, one index range at a time.

Both keys are compared byte by byte (on PostgreSQL their columns have the collation "C"), so that
a beginning is a range of the unique index, and a page among a million accounts costs as much as
among ten.
"""

from typing import Any, Final

from sqlalchemy import Connection, bindparam, not_
from sqlalchemy.sql import ColumnElement

from twinlock.accounts.directory import Account
from twinlock.accounts.store import accounts_of, every_account
from twinlock.accounts.tables import account

_LAST: Final = "\U0010ffff"
"""Sorts after every character of a name."""


def _begins(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return (column >= bindparam("first")) & (column < bindparam("last"))


LIST_BY_USERNAME = (
    every_account()
    .where(_begins(account.c.username_key), account.c.username_key > bindparam("after"))
    .order_by(account.c.username_key)
    .limit(bindparam("limit"))
)
LIST_BY_EMAIL = (
    every_account()
    .where(
        _begins(account.c.email_key),
        account.c.email_key > bindparam("after"),
        not_(_begins(account.c.username_key)),
    )
    .order_by(account.c.email_key)
    .limit(bindparam("limit"))
)


def list_by_username(db: Connection, beginning: str, *, after: str, limit: int) -> list[Account]:
    """Return accounts whose username's key begins so, in its order."""
    params = {"first": beginning, "last": beginning + _LAST, "after": after, "limit": limit}
    return accounts_of(db.execute(LIST_BY_USERNAME, params))


def list_by_email(db: Connection, beginning: str, *, after: str, limit: int) -> list[Account]:
    """Return the others whose e-mail address's key begins so, in its order."""
    params = {"first": beginning, "last": beginning + _LAST, "after": after, "limit": limit}
    return accounts_of(db.execute(LIST_BY_EMAIL, params))
