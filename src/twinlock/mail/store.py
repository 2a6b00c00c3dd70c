"""All SQL of mails on their way out.

A mail is claimed by one conditional UPDATE, which moves its next attempt past the longest that an
attempt can take: so of several workers one delivers it, and a worker that dies loses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from twinlock.db.types import UtcDateTime
from twinlock.mail.tables import outbox

LEASE: Final = timedelta(minutes=5)
"""For so long a claimed mail is its worker's: many times as long as an attempt can take."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not delivered yet."""

    mails: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail that is to be delivered.

    Attributes:
        subject: The account that it is about; None where that is yet to be found out.
        sealed: Whom and what, sealed to this row.
        attempts: How many there were, the one of the present claim included.
    """

    id: str
    kind: str
    subject: str | None
    sealed: bytes = field(repr=False)
    attempts: int
    due_at: datetime
    expires_at: datetime
    created_at: datetime


_HELD = outbox.c.sealed.is_not(None)
_WAITS = and_(_HELD, outbox.c.given_up_at.is_(None))
_IS_MINE = (
    outbox.c.id == bindparam("mail_id"),
    outbox.c.attempts == bindparam("claimed"),
    _HELD,
)

INSERT_MAIL = insert(outbox)
LIST_DUE = (
    select(outbox)
    .where(_HELD, outbox.c.due_at <= bindparam("moment", type_=UtcDateTime()))
    .order_by(outbox.c.due_at)
    .limit(bindparam("limit"))
)
CLAIM_MAIL = (
    update(outbox)
    .where(
        *_IS_MINE,
        outbox.c.due_at <= bindparam("moment", type_=UtcDateTime()),
        outbox.c.expires_at > bindparam("moment", type_=UtcDateTime()),
    )
    .values(attempts=outbox.c.attempts + 1, due_at=bindparam("until", type_=UtcDateTime()))
)
FINISH_MAIL = (
    update(outbox)
    .where(*_IS_MINE)
    .values(sealed=None, error=None, delivered_at=bindparam("moment", type_=UtcDateTime()))
)
_GIVEN_UP = {
    "given_up_at": bindparam("moment", type_=UtcDateTime()),
    "error": bindparam("why"),
}
WIPE_MAIL = update(outbox).where(*_IS_MINE, _WAITS).values(sealed=None, **_GIVEN_UP)
WIPE_GIVEN_UP = (
    update(outbox).where(*_IS_MINE, outbox.c.given_up_at.is_not(None)).values(sealed=None)
)
GIVE_UP_MAIL = update(outbox).where(*_IS_MINE).values(due_at=outbox.c.expires_at, **_GIVEN_UP)
POSTPONE_MAIL = (
    update(outbox)
    .where(*_IS_MINE)
    .values(due_at=bindparam("until", type_=UtcDateTime()), error=bindparam("why"))
)
TRY_AGAIN = (
    update(outbox)
    .where(
        outbox.c.id == bindparam("mail_id"),
        _HELD,
        outbox.c.expires_at > bindparam("moment", type_=UtcDateTime()),
        # Whoever claimed it less than a lease ago may be sending it now.
        or_(
            outbox.c.given_up_at.is_not(None),
            outbox.c.due_at > bindparam("until", type_=UtcDateTime()),
        ),
    )
    .values(due_at=bindparam("moment", type_=UtcDateTime()), given_up_at=None)
    .returning(outbox.c.kind, outbox.c.subject_id)
)
WIPE_EXPIRED = (
    update(outbox)
    .where(
        outbox.c.id.in_(
            select(outbox.c.id)
            .where(_HELD, outbox.c.expires_at <= bindparam("before", type_=UtcDateTime()))
            .order_by(outbox.c.due_at)
            .limit(bindparam("limit"))
        )
    )
    .values(sealed=None)
)
LIST_SEALED = (
    select(outbox.c.id, outbox.c.subject_id, outbox.c.sealed)
    .where(_HELD, outbox.c.id > bindparam("after"))
    .order_by(outbox.c.id)
    .limit(bindparam("limit"))
)
RESEAL_MAIL = (
    update(outbox)
    .where(outbox.c.id == bindparam("mail_id"), outbox.c.sealed == bindparam("old"))
    .values(sealed=bindparam("new"))
)
VOID_EVERY_MAIL = update(outbox).where(_HELD).values(sealed=None)
COUNT_WAITING = select(func.count(), func.min(outbox.c.created_at)).where(_WAITS)
_SHOWN: Select[Any] = select(
    outbox.c.id,
    outbox.c.kind,
    outbox.c.subject_id,
    outbox.c.attempts,
    outbox.c.due_at,
    outbox.c.expires_at,
    outbox.c.delivered_at,
    outbox.c.created_at,
    outbox.c.given_up_at,
    outbox.c.error,
    _WAITS.label("waits"),
    _HELD.label("is_held"),
)
_OLDER = tuple_(outbox.c.created_at, outbox.c.id) < tuple_(
    bindparam("before_moment", type_=UtcDateTime()), bindparam("before_id")
)
LIST_MAILS = (
    _SHOWN.where(_OLDER)
    .order_by(outbox.c.created_at.desc(), outbox.c.id.desc())
    .limit(bindparam("limit"))
)
LIST_GIVEN_UP = LIST_MAILS.where(outbox.c.given_up_at.is_not(None))
LIST_WAITING = _SHOWN.where(_WAITS).order_by(outbox.c.due_at).limit(bindparam("limit"))
DELETE_OLD = delete(outbox).where(
    outbox.c.id.in_(
        select(outbox.c.id)
        .where(
            outbox.c.created_at < bindparam("before", type_=UtcDateTime()),
            outbox.c.sealed.is_(None),
        )
        .order_by(outbox.c.created_at)
        .limit(bindparam("limit"))
    )
)


def insert_mail(
    tx: Connection,
    *,
    mail_id: str,
    kind: str,
    subject: str | None,
    sealed: bytes,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Store a mail that is due at once."""
    row = {
        "id": mail_id,
        "kind": kind,
        "subject_id": subject,
        "sealed": sealed,
        "attempts": 0,
        "due_at": now,
        "expires_at": expires_at,
        "delivered_at": None,
        "created_at": now,
    }
    tx.execute(INSERT_MAIL, row)


def list_due(db: Connection, *, now: datetime, limit: int) -> list[Outgoing]:
    """Return mails whose next attempt is due, the longest overdue first."""
    return [_outgoing(row) for row in db.execute(LIST_DUE, {"moment": now, "limit": limit})]


def claim(tx: Connection, seen: Outgoing, *, now: datetime) -> bool:
    """Take a mail for one attempt; False when another worker was first."""
    params = {"mail_id": seen.id, "claimed": seen.attempts, "moment": now, "until": now + LEASE}
    return tx.execute(CLAIM_MAIL, params).rowcount == 1


def finish(tx: Connection, mine: Outgoing, *, now: datetime) -> bool:
    """Wipe a delivered mail; False when the claim was lost meanwhile."""
    params = {"mail_id": mine.id, "claimed": mine.attempts, "moment": now}
    return tx.execute(FINISH_MAIL, params).rowcount == 1


def give_up(tx: Connection, seen: Outgoing, *, why: str, now: datetime) -> bool:
    """Keep a mail that was refused until it expires; False when somebody else touched it."""
    params = {"mail_id": seen.id, "claimed": seen.attempts, "why": why, "moment": now}
    return tx.execute(GIVE_UP_MAIL, params).rowcount == 1


def wipe(tx: Connection, seen: Outgoing, *, why: str, now: datetime) -> bool:
    """Wipe a mail that nobody can deliver any more.

    Returns:
        Whether it waited until now: not if it had been given up, or somebody else touched it.
    """
    params: dict[str, Any] = {"mail_id": seen.id, "claimed": seen.attempts}
    if tx.execute(WIPE_GIVEN_UP, params).rowcount:
        return False
    return tx.execute(WIPE_MAIL, {**params, "why": why, "moment": now}).rowcount == 1


def postpone(tx: Connection, mine: Outgoing, *, until: datetime, why: str) -> None:
    """Set the next attempt."""
    params = {"mail_id": mine.id, "claimed": mine.attempts, "until": until, "why": why}
    tx.execute(POSTPONE_MAIL, params)


def try_again(tx: Connection, mail_id: str, *, now: datetime) -> Row[Any] | None:
    """Make a mail due at once that was given up, or waits for long.

    Returns:
        Its kind and subject; None where it left, is being tried, expired, or never was.
    """
    params = {"mail_id": mail_id, "moment": now, "until": now + LEASE}
    return tx.execute(TRY_AGAIN, params).first()


def wipe_expired(tx: Connection, *, before: datetime, limit: int) -> int:
    """Wipe what expired before a moment and no worker gave up, as where mail was switched off."""
    return tx.execute(WIPE_EXPIRED, {"before": before, "limit": limit}).rowcount


def list_sealed(db: Connection, *, after: str, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, subject and body of waiting mails, in the order of their ids."""
    return db.execute(LIST_SEALED, {"after": after, "limit": limit}).all()


def reseal(tx: Connection, mail_id: str, *, old: bytes, new: bytes) -> bool:
    """Replace a body by one under a newer key; False when it was delivered meanwhile."""
    return tx.execute(RESEAL_MAIL, {"mail_id": mail_id, "old": old, "new": new}).rowcount == 1


def void_every_mail(tx: Connection) -> int:
    """Wipe everything that waits, after a backup was put back; return how many that were."""
    return tx.execute(VOID_EVERY_MAIL).rowcount


def count_waiting(db: Connection) -> Waiting:
    """Return how many mails wait, and since when."""
    mails, oldest = db.execute(COUNT_WAITING).one()
    return Waiting(mails, oldest)


def list_mails(db: Connection, *, before: tuple[datetime, str], limit: int) -> Sequence[Row[Any]]:
    """Return mails, the newest first, without what they say, so that nothing can show it."""
    params = {"before_moment": before[0], "before_id": before[1], "limit": limit}
    return db.execute(LIST_MAILS, params).all()


def list_given_up(
    db: Connection, *, before: tuple[datetime, str], limit: int
) -> Sequence[Row[Any]]:
    """Return the mails that were given up, the newest first."""
    params = {"before_moment": before[0], "before_id": before[1], "limit": limit}
    return db.execute(LIST_GIVEN_UP, params).all()


def list_waiting(db: Connection, *, limit: int) -> Sequence[Row[Any]]:
    """Return the mails that wait, the next to be tried first."""
    return db.execute(LIST_WAITING, {"limit": limit}).all()


def expire(tx: Connection, *, before: datetime, limit: int) -> int:
    """Delete at most *limit* wiped rows older than a moment; return how many."""
    return tx.execute(DELETE_OLD, {"before": before, "limit": limit}).rowcount


def _outgoing(row: Row[Any]) -> Outgoing:
    return Outgoing(
        id=row.id,
        kind=row.kind,
        subject=row.subject_id,
        sealed=row.sealed,
        attempts=row.attempts,
        due_at=row.due_at,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
