"""All SQL of staged resets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from twinlock.accounts.resets.tables import factor_reset
from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime


@dataclass(frozen=True, slots=True)
class StagedReset:
    """A reset of factors that waits.

    Attributes:
        generation: The account's when it was asked for; another one voids it.
        approved_by: The second admin, where the account is an admin's.
        expires_at: When it is too late to approve.
    """

    subject: SubjectId
    generation: int
    requested_by: SubjectId
    approved_by: SubjectId | None
    requested_at: datetime
    due_at: datetime
    expires_at: datetime


GET_RESET = select(factor_reset).where(factor_reset.c.subject_id == bindparam("subject"))
LIST_DUE = (
    select(factor_reset)
    .where(
        factor_reset.c.due_at <= bindparam("moment", type_=UtcDateTime()),
        factor_reset.c.subject_id > bindparam("after"),
    )
    .order_by(factor_reset.c.subject_id)
    .limit(bindparam("limit"))
)
LIST_WAITING = (
    select(factor_reset)
    .where(factor_reset.c.expires_at > bindparam("moment", type_=UtcDateTime()))
    .order_by(factor_reset.c.due_at)
    .limit(bindparam("limit"))
)
INSERT_RESET = (
    insert(factor_reset).ext(on_conflict("DO NOTHING")).returning(factor_reset.c.subject_id)
)
APPROVE_RESET = (
    update(factor_reset)
    .where(
        factor_reset.c.subject_id == bindparam("subject"),
        factor_reset.c.requested_at == bindparam("asked_at", type_=UtcDateTime()),
        factor_reset.c.requested_by != bindparam("by"),
        factor_reset.c.approved_by.is_(None),
    )
    .values(approved_by=bindparam("by"))
)
SPEND_RESET = delete(factor_reset).where(
    factor_reset.c.subject_id == bindparam("subject"),
    factor_reset.c.requested_at == bindparam("asked_at", type_=UtcDateTime()),
)


def get_reset(db: Connection, subject: SubjectId) -> StagedReset | None:
    """Return the reset that an account waits for, a dead one included."""
    return _reset(db.execute(GET_RESET, {"subject": subject}).one_or_none())


def list_due(db: Connection, *, now: datetime, after: str, limit: int) -> Sequence[StagedReset]:
    """Return resets whose time has come, in the order of their accounts, from *after* on."""
    rows = db.execute(LIST_DUE, {"moment": now, "after": after, "limit": limit})
    return [found for row in rows if (found := _reset(row))]


def list_waiting(db: Connection, *, now: datetime, limit: int) -> Sequence[StagedReset]:
    """Return resets that wait, dead ones included, the next to be done first."""
    rows = db.execute(LIST_WAITING, {"moment": now, "limit": limit})
    return [found for row in rows if (found := _reset(row))]


def insert_reset(tx: Connection, new: StagedReset) -> bool:
    """Store a reset; False when the account has one."""
    row = {
        "subject_id": new.subject,
        "generation": new.generation,
        "requested_by": new.requested_by,
        "approved_by": new.approved_by,
        "requested_at": new.requested_at,
        "due_at": new.due_at,
        "expires_at": new.expires_at,
    }
    return tx.execute(INSERT_RESET, row).scalar() is not None


def approve(tx: Connection, staged: StagedReset, *, by: SubjectId) -> bool:
    """Note the second admin, once, and never the one who asked."""
    params = {"subject": staged.subject, "asked_at": staged.requested_at, "by": by}
    return tx.execute(APPROVE_RESET, params).rowcount == 1


def spend(tx: Connection, staged: StagedReset) -> bool:
    """Take a reset away, to do it or to drop it; False when somebody was first."""
    params = {"subject": staged.subject, "asked_at": staged.requested_at}
    return tx.execute(SPEND_RESET, params).rowcount == 1


def _reset(row: Row[Any] | None) -> StagedReset | None:
    if row is None:
        return None
    return StagedReset(
        subject=SubjectId(row.subject_id),
        generation=row.generation,
        requested_by=SubjectId(row.requested_by),
        approved_by=SubjectId(row.approved_by) if row.approved_by else None,
        requested_at=row.requested_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
    )
