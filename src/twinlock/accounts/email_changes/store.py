"""All SQL of e-mail addresses that an admin asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from twinlock.accounts.email_changes.tables import staged_email
from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime


@dataclass(frozen=True, slots=True)
class StagedEmail:
    """Another e-mail address that waits.

    Attributes:
        generation: The account's when it was asked for; another one voids it.
        expires_at: When it is too late for it.
    """

    subject: SubjectId
    generation: int
    email: str = field(repr=False)
    requested_by: SubjectId
    requested_at: datetime
    due_at: datetime
    expires_at: datetime


GET_STAGED = select(staged_email).where(staged_email.c.subject_id == bindparam("subject"))
LIST_DUE = (
    select(staged_email)
    .where(
        staged_email.c.due_at <= bindparam("moment", type_=UtcDateTime()),
        staged_email.c.subject_id > bindparam("after"),
    )
    .order_by(staged_email.c.subject_id)
    .limit(bindparam("limit"))
)
INSERT_STAGED = (
    insert(staged_email).ext(on_conflict("DO NOTHING")).returning(staged_email.c.subject_id)
)
SPEND_STAGED = delete(staged_email).where(
    staged_email.c.subject_id == bindparam("subject"),
    staged_email.c.requested_at == bindparam("asked_at", type_=UtcDateTime()),
)

DELETE_EVERY_STAGED = delete(staged_email)


def get_staged(db: Connection, subject: SubjectId) -> StagedEmail | None:
    """Return the address that an account waits for, a dead one included."""
    return _staged(db.execute(GET_STAGED, {"subject": subject}).one_or_none())


def list_due(db: Connection, *, now: datetime, after: str, limit: int) -> Sequence[StagedEmail]:
    """Return those whose time has come, in the order of their accounts, from *after* on."""
    rows = db.execute(LIST_DUE, {"moment": now, "after": after, "limit": limit})
    return [found for row in rows if (found := _staged(row))]


def insert_staged(tx: Connection, new: StagedEmail) -> bool:
    """Store an address that waits; False when the account has one."""
    row = {
        "subject_id": new.subject,
        "generation": new.generation,
        "email": new.email,
        "requested_by": new.requested_by,
        "requested_at": new.requested_at,
        "due_at": new.due_at,
        "expires_at": new.expires_at,
    }
    return tx.execute(INSERT_STAGED, row).scalar() is not None


def spend(tx: Connection, staged: StagedEmail) -> bool:
    """Take it away, to put it in force or to drop it; False when somebody was first."""
    params = {"subject": staged.subject, "asked_at": staged.requested_at}
    return tx.execute(SPEND_STAGED, params).rowcount == 1


def delete_every_staged(tx: Connection) -> int:
    """Call off what was asked for everybody, after a backup was put back; return how many."""
    return tx.execute(DELETE_EVERY_STAGED).rowcount


def _staged(row: Row[Any] | None) -> StagedEmail | None:
    if row is None:
        return None
    return StagedEmail(
        subject=SubjectId(row.subject_id),
        generation=row.generation,
        email=row.email,
        requested_by=SubjectId(row.requested_by),
        requested_at=row.requested_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
    )
