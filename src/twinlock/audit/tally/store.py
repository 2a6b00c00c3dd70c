"""All SQL of what was counted hour by hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from twinlock.audit.tally.tables import tally
from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime

INSERT_TALLY = insert(tally).ext(on_conflict("DO NOTHING"))
LAST_HOUR = select(func.max(tally.c.hour)).where(tally.c.kind == bindparam("kind"))
LIST_TALLIES = select(tally.c.hour, tally.c.number).where(
    tally.c.kind == bindparam("kind"), tally.c.hour >= bindparam("since", type_=UtcDateTime())
)
NEWEST_TALLY = (
    select(tally).where(tally.c.kind == bindparam("kind")).order_by(tally.c.hour.desc()).limit(1)
)
EXPIRE_TALLIES = delete(tally).where(
    tally.c.hour.in_(
        select(tally.c.hour)
        .where(tally.c.hour < bindparam("older_than", type_=UtcDateTime()))
        .limit(bindparam("limit"))
    )
)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted of one kind in one hour, or at its beginning."""

    kind: str
    hour: datetime
    number: int


def insert_tallies(tx: Connection, new: Sequence[Tally]) -> None:
    """Store the counts of hours; an hour that another process has stored already stays as it is."""
    for one in new:
        tx.execute(INSERT_TALLY, {"kind": one.kind, "hour": one.hour, "number": one.number})


def last_hour(db: Connection, kind: str) -> datetime | None:
    """Return the last hour that was counted."""
    last: datetime | None = db.execute(LAST_HOUR, {"kind": kind}).scalar_one()
    return last


def list_tallies(db: Connection, kind: str, *, since: datetime) -> Mapping[datetime, int]:
    """Return the hours that were counted since a moment."""
    return {
        row.hour: row.number for row in db.execute(LIST_TALLIES, {"kind": kind, "since": since})
    }


def newest(db: Connection, kind: str) -> Tally | None:
    """Return what was counted last."""
    row = db.execute(NEWEST_TALLY, {"kind": kind}).one_or_none()
    return None if row is None else Tally(row.kind, row.hour, row.number)


def expire(tx: Connection, *, older_than: datetime, limit: int) -> int:
    """Delete some *limit* hours older than *older_than*; return how many rows that were."""
    return tx.execute(EXPIRE_TALLIES, {"older_than": older_than, "limit": limit}).rowcount
