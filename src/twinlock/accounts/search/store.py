"""SQL that finds and counts accounts for an admin, one index range at a time.

All keys are compared byte by byte (on PostgreSQL their columns have the collation "C"), so that
a beginning is a range of the unique index, and a page among a million accounts costs as much as
among ten.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, not_, or_, select, tuple_
from sqlalchemy.sql import ColumnElement

from twinlock.accounts.directory import Account
from twinlock.accounts.store import CAN_COME_IN, accounts_of, every_account
from twinlock.accounts.tables import IS_ADMIN, account, subject
from twinlock.core.proof import SubjectId
from twinlock.db.types import UtcDateTime

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
        tuple_(account.c.email_key, account.c.username_key)
        > tuple_(bindparam("after"), bindparam("after_name")),
        not_(_begins(account.c.username_key)),
    )
    .order_by(account.c.email_key, account.c.username_key)
    .limit(bindparam("limit"))
)
_OTHERWISE = or_(account.c.email_key.is_(None), not_(_begins(account.c.email_key)))
LIST_BY_NAME = (
    every_account()
    .where(
        account.c.name_key >= bindparam("first_name"),
        account.c.name_key < bindparam("last_name"),
        tuple_(account.c.name_key, account.c.username_key)
        > tuple_(bindparam("after"), bindparam("after_name")),
        not_(_begins(account.c.username_key)),
        _OTHERWISE,
    )
    .order_by(account.c.name_key, account.c.username_key)
    .limit(bindparam("limit"))
)


def _by_creation(condition: ColumnElement[bool]) -> Select[Any]:
    after = tuple_(bindparam("after_moment", type_=UtcDateTime()), bindparam("after_id"))
    return (
        every_account()
        .where(condition, tuple_(account.c.created_at, account.c.id) > after)
        .order_by(account.c.created_at, account.c.id)
        .limit(bindparam("limit"))
    )


LIST_ADMINS = _by_creation(account.c.id.in_(select(account.c.id).where(IS_ADMIN)))
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
LIST_ACTING_ADMINS = _by_creation(
    account.c.id.in_(
        select(account.c.id).where(IS_ADMIN, account.c.disabled_at.is_(None), CAN_COME_IN)
    )
)
LIST_DISABLED = _by_creation(account.c.disabled_at.is_not(None))
FIND_SIGN_INS = select(subject.c.id, subject.c.signed_in_at).where(
    subject.c.id.in_(bindparam("subjects", expanding=True))
)
_CREATED_SINCE = (
    select(account.c.id)
    .where(account.c.created_at >= bindparam("since", type_=UtcDateTime()))
    .limit(bindparam("limit"))
    .subquery()
)
COUNT_CREATED = select(func.count()).select_from(_CREATED_SINCE)


def list_by_username(db: Connection, beginning: str, *, after: str, limit: int) -> list[Account]:
    """Return accounts whose username's key begins so, in its order."""
    params = {"first": beginning, "last": beginning + _LAST, "after": after, "limit": limit}
    return accounts_of(db.execute(LIST_BY_USERNAME, params))


def list_by_email(
    db: Connection, beginning: str, *, after: tuple[str, str], limit: int
) -> list[Account]:
    """Return the others whose e-mail address's key begins so, in its order and their names'.

    Several may have one address that none of them has verified.
    """
    params = {"first": beginning, "last": beginning + _LAST, "limit": limit}
    params |= {"after": after[0], "after_name": after[1]}
    return accounts_of(db.execute(LIST_BY_EMAIL, params))


def list_by_name(
    db: Connection, beginning: str, name: str, *, after: tuple[str, str], limit: int
) -> list[Account]:
    """Return accounts whose full name begins so, except those that *beginning* already found."""
    params = {"first": beginning, "last": beginning + _LAST, "limit": limit}
    params |= {"first_name": name, "last_name": name + _LAST}
    params |= {"after": after[0], "after_name": after[1]}
    return accounts_of(db.execute(LIST_BY_NAME, params))


def list_admins(db: Connection, *, after: tuple[datetime, str], limit: int) -> list[Account]:
    """Return admins, disabled ones included, in the order of their creation."""
    params = {"after_moment": after[0], "after_id": after[1], "limit": limit}
    return accounts_of(db.execute(LIST_ADMINS, params))


def list_acting_admins(db: Connection, *, limit: int) -> list[Account]:
    """Return admins who can act: neither disabled, nor invited and not come yet."""
    params = {"after_moment": _BEGINNING, "after_id": "", "limit": limit}
    return accounts_of(db.execute(LIST_ACTING_ADMINS, params))


def list_disabled(db: Connection, *, after: tuple[datetime, str], limit: int) -> list[Account]:
    """Return disabled accounts in the order of their creation."""
    params = {"after_moment": after[0], "after_id": after[1], "limit": limit}
    return accounts_of(db.execute(LIST_DISABLED, params))


def find_sign_ins(
    db: Connection, subjects: Sequence[SubjectId]
) -> Mapping[SubjectId, datetime | None]:
    """Return when each of some accounts signed in last."""
    rows = db.execute(FIND_SIGN_INS, {"subjects": list(subjects)})
    return {SubjectId(row.id): row.signed_in_at for row in rows}


def count_created(db: Connection, *, since: datetime, limit: int) -> int:
    """Count accounts made since a moment, up to *limit*."""
    return db.execute(COUNT_CREATED, {"since": since, "limit": limit}).scalar_one()
