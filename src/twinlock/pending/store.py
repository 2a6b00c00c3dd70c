"""All SQL of what is begun and not yet finished.

A handle of 256 random bits is the client's, its digest the row's. A row dies with its time,
its tries, or the generation of the subject that it began under, and is spent by one DELETE.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from twinlock.core.proof import Acr, SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime
from twinlock.pending.tables import pending

log = logging.getLogger("twinlock.pending")

_NOBODY: Final = "0" * 32
_ACRS: Final = frozenset(Acr)


class Purpose(StrEnum):
    """What is pending."""

    LOGIN = "login"
    ENROLLMENT = "enrollment"
    REAUTHENTICATION = "reauthentication"
    LOGIN_ENROLLMENT = "login_enrollment"
    ENROLLMENT_LINK = "enrollment_link"
    SPENT = "spent"
    RECOVERY = "recovery"
    EMAIL_CHANGE = "email_change"
    EMAIL_CANCEL = "email_cancel"
    INVITATION = "invitation"
    REGISTRATION = "registration"
    RESET_CANCEL = "reset_cancel"


@dataclass(frozen=True, slots=True)
class Pending:
    """Something begun by a subject and not yet finished. It opens nothing by itself.

    Attributes:
        generation: The subject's when it began; it dies with it.
        session_id: The session that began it; None for a login.
        method: The factor being enrolled; None for the other purposes.
        acr: What a reauthentication is to reach; None for the other purposes.
        proven_at: When the password was shown; None for the other purposes.
        state: The factor's own, still sealed.
    """

    digest: bytes
    purpose: Purpose
    subject: SubjectId
    generation: int
    session_id: str | None
    method: str | None
    acr: Acr | None
    proven_at: datetime | None
    scope: tuple[str, ...]
    state: bytes | None
    tries: int
    expires_at: datetime
    created_at: datetime


_LIVE = (
    pending.c.digest == bindparam("handle"),
    pending.c.purpose == bindparam("for_purpose"),
    pending.c.expires_at > bindparam("moment", type_=UtcDateTime()),
)

INSERT_PENDING = insert(pending)
GET_PENDING = select(pending).where(*_LIVE, pending.c.tries < bindparam("most"))
TAKE_TRY = (
    update(pending)
    .where(*_LIVE, pending.c.tries < bindparam("most"))
    .values(tries=pending.c.tries + 1)
    .returning(pending)
)
REPLACE_STATE = (
    update(pending)
    .where(
        pending.c.digest == bindparam("handle"),
        pending.c.state.is_not_distinct_from(bindparam("old_state")),
    )
    .values(state=bindparam("new_state"))
)
INSERT_SPENT = insert(pending).ext(on_conflict("DO NOTHING"))
SET_STATE = (
    update(pending)
    .where(pending.c.digest == bindparam("handle"))
    .values(state=bindparam("new_state"))
)
SPEND_PENDING = delete(pending).where(
    pending.c.digest == bindparam("handle"),
    pending.c.generation == bindparam("seen"),
    pending.c.expires_at > bindparam("moment", type_=UtcDateTime()),
)
DELETE_OF_SUBJECT = delete(pending).where(pending.c.subject_id == bindparam("subject"))
DELETE_OF_PURPOSE = DELETE_OF_SUBJECT.where(pending.c.purpose == bindparam("for_purpose"))
LIST_OF_PURPOSE = (
    select(pending)
    .where(
        pending.c.purpose == bindparam("for_purpose"),
        pending.c.expires_at > bindparam("moment", type_=UtcDateTime()),
        pending.c.subject_id > bindparam("after"),
    )
    .order_by(pending.c.subject_id)
    .limit(bindparam("limit"))
)
DELETE_EVERY_PENDING = delete(pending)
DELETE_OLDEST = delete(pending).where(
    pending.c.digest.in_(
        select(pending.c.digest)
        .where(
            pending.c.subject_id == bindparam("subject"),
            pending.c.purpose == bindparam("for_purpose"),
            pending.c.digest != bindparam("newest"),
        )
        .order_by(pending.c.created_at.desc(), pending.c.digest)
        .offset(bindparam("others"))
    )
)
COUNT_WITH_OLDER_STATE = select(func.count()).where(
    pending.c.state.is_not(None),
    pending.c.expires_at > bindparam("moment", type_=UtcDateTime()),
    pending.c.created_at < bindparam("before", type_=UtcDateTime()),
)
EXPIRE_PENDING = delete(pending).where(
    pending.c.digest.in_(
        select(pending.c.digest)
        .where(pending.c.expires_at < bindparam("moment", type_=UtcDateTime()))
        .order_by(pending.c.expires_at)
        .limit(bindparam("limit"))
    )
)


def insert_pending(tx: Connection, new: Pending) -> None:
    """Store what was begun."""
    row = {
        "digest": new.digest,
        "purpose": new.purpose,
        "subject_id": new.subject,
        "generation": new.generation,
        "session_id": new.session_id,
        "method": new.method,
        "acr": new.acr,
        "proven_at": new.proven_at,
        "scope": " ".join(new.scope),
        "state": new.state,
        "tries": new.tries,
        "expires_at": new.expires_at,
        "created_at": new.created_at,
    }
    tx.execute(INSERT_PENDING, row)


def get_pending(
    db: Connection, digest: bytes, *, purpose: Purpose, max_tries: int, now: datetime
) -> Pending | None:
    """Return what is pending under a handle, if it lives."""
    params = {"handle": digest, "for_purpose": purpose, "most": max_tries, "moment": now}
    return _pending(db.execute(GET_PENDING, params).one_or_none())


def take_try(
    tx: Connection, digest: bytes, *, purpose: Purpose, max_tries: int, now: datetime
) -> Pending | None:
    """Count one answer and return what is pending; None, and nothing counted, when it is dead."""
    params = {"handle": digest, "for_purpose": purpose, "most": max_tries, "moment": now}
    return _pending(tx.execute(TAKE_TRY, params).one_or_none())


def set_state(tx: Connection, digest: bytes, *, state: bytes | None) -> None:
    """Replace the factor's state."""
    tx.execute(SET_STATE, {"handle": digest, "new_state": state})


def replace_state(tx: Connection, begun: Pending, *, state: bytes | None) -> bool:
    """Replace the factors' states; False when they are no longer those that were read."""
    params = {"handle": begun.digest, "old_state": begun.state, "new_state": state}
    return tx.execute(REPLACE_STATE, params).rowcount == 1


def spend_unstored(tx: Connection, digest: bytes, *, expires_at: datetime, now: datetime) -> bool:
    """Spend a handle that has had no row until now, once; the row lives as long as it would."""
    return tx.execute(INSERT_SPENT, _spent_row(digest, expires_at, now)).rowcount == 1


def spend(tx: Connection, begun: Pending, *, now: datetime) -> bool:
    """Finish what was begun, once; False when it was finished already or is over."""
    params = {"handle": begun.digest, "seen": begun.generation, "moment": now}
    return tx.execute(SPEND_PENDING, params).rowcount == 1


def delete_of_subject(tx: Connection, subject: SubjectId) -> None:
    """Void everything that a subject began."""
    tx.execute(DELETE_OF_SUBJECT, {"subject": subject})


def delete_of_purpose(tx: Connection, subject: SubjectId, *, purpose: Purpose) -> int:
    """Void everything of one kind that a subject began; return how much that was."""
    return tx.execute(DELETE_OF_PURPOSE, {"subject": subject, "for_purpose": purpose}).rowcount


def list_of_purpose(
    db: Connection, *, purpose: Purpose, after: str, limit: int, now: datetime
) -> list[Pending]:
    """Return what lives of one kind, in the order of its subjects."""
    params = {"for_purpose": purpose, "after": after, "limit": limit, "moment": now}
    return [found for row in db.execute(LIST_OF_PURPOSE, params) if (found := _pending(row))]


def delete_every_pending(tx: Connection) -> int:
    """Void what everybody began, after a backup was put back."""
    return tx.execute(DELETE_EVERY_PENDING).rowcount


def delete_oldest(tx: Connection, newest: Pending, *, kept: int) -> None:
    """Void all but the *kept* newest of one purpose.

    Args:
        newest: What was just begun, which stays even where others began at the same moment.
    """
    params = {
        "subject": newest.subject,
        "for_purpose": newest.purpose,
        "newest": newest.digest,
        "others": kept - 1,
    }
    tx.execute(DELETE_OLDEST, params)


def count_with_older_state(db: Connection, *, before: datetime, now: datetime) -> int:
    """Return how many living rows hold a sealed state and began before a moment."""
    return db.execute(COUNT_WITH_OLDER_STATE, {"before": before, "moment": now}).scalar_one()


def expire(tx: Connection, *, now: datetime, limit: int) -> int:
    """Delete at most *limit* rows whose time is over; return how many."""
    return tx.execute(EXPIRE_PENDING, {"moment": now, "limit": limit}).rowcount


def _spent_row(digest: bytes, expires_at: datetime, now: datetime) -> dict[str, Any]:
    """Return the row of a spent handle: nobody's, so that no change of an account revives it."""
    return {
        "digest": digest,
        "purpose": Purpose.SPENT,
        "subject_id": _NOBODY,
        "generation": 0,
        "session_id": None,
        "method": None,
        "acr": None,
        "proven_at": None,
        "scope": "",
        "state": None,
        "tries": 0,
        "expires_at": expires_at,
        "created_at": now,
    }


def _pending(row: Row[Any] | None) -> Pending | None:
    """Return the facts of a row; None where there is none, or none that we wrote."""
    if row is None:
        return None
    if row.acr and row.acr not in _ACRS:
        log.critical("seal_broken", extra={"subject": row.subject_id})
        return None
    return Pending(
        digest=row.digest,
        purpose=Purpose(row.purpose),
        subject=SubjectId(row.subject_id),
        generation=row.generation,
        session_id=row.session_id,
        method=row.method,
        acr=Acr(row.acr) if row.acr else None,
        proven_at=row.proven_at,
        scope=tuple(row.scope.split()),
        state=row.state,
        tries=row.tries,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )
