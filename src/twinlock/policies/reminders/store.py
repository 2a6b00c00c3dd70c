"""All SQL of reminders: each batch of accounts is taken by one of many workers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime
from twinlock.policies.reminders.tables import policy_reminder

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over all accounts, so many days before a date.

    Attributes:
        after: Creation and id of the last account of the batches that are done.
    """

    due_at: datetime
    days_before: int
    after: tuple[datetime, str]
    is_done: bool


_THE_ROUND = (
    policy_reminder.c.due_at == bindparam("due", type_=UtcDateTime()),
    policy_reminder.c.days_before == bindparam("days"),
)

INSERT_ROUND = insert(policy_reminder).ext(on_conflict("DO NOTHING"))
GET_ROUND = select(policy_reminder).where(*_THE_ROUND)
ADVANCE_ROUND = (
    update(policy_reminder)
    .where(
        *_THE_ROUND,
        policy_reminder.c.after_moment == bindparam("old_moment", type_=UtcDateTime()),
        policy_reminder.c.after_id == bindparam("old_id"),
        policy_reminder.c.is_done.is_(False),
    )
    .values(
        after_moment=bindparam("new_moment", type_=UtcDateTime()),
        after_id=bindparam("new_id"),
        is_done=bindparam("new_is_done"),
    )
)
EXPIRE_ROUNDS = delete(policy_reminder).where(
    policy_reminder.c.due_at < bindparam("moment", type_=UtcDateTime())
)


def begin_round(tx: Connection, due_at: datetime, days_before: int, *, now: datetime) -> None:
    """Begin a round, unless somebody did."""
    row = {
        "due_at": due_at,
        "days_before": days_before,
        "after_moment": _BEGINNING,
        "after_id": "",
        "is_done": False,
        "created_at": now,
    }
    tx.execute(INSERT_ROUND, row)


def get_round(db: Connection, due_at: datetime, days_before: int) -> Round | None:
    """Return how far a round has come; None before it began."""
    row = db.execute(GET_ROUND, {"due": due_at, "days": days_before}).one_or_none()
    if row is None:
        return None
    after = (row.after_moment, row.after_id)
    return Round(row.due_at, row.days_before, after, row.is_done)


def advance(tx: Connection, current: Round, *, after: tuple[datetime, str], is_done: bool) -> bool:
    """Take the batch that ends at *after*; False when somebody else did."""
    params = {
        "due": current.due_at,
        "days": current.days_before,
        "old_moment": current.after[0],
        "old_id": current.after[1],
        "new_moment": after[0],
        "new_id": after[1],
        "new_is_done": is_done,
    }
    return tx.execute(ADVANCE_ROUND, params).rowcount == 1


def expire(tx: Connection, *, now: datetime) -> int:
    """Forget the rounds of dates that have passed; return how many."""
    return tx.execute(EXPIRE_ROUNDS, {"moment": now}).rowcount
