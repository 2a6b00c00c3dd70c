"""All SQL of the audit chain, and of reading events in the order in which it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from twinlock.audit.chain.tables import audit_chain
from twinlock.audit.tables import event
from twinlock.db.conflict import on_conflict

GET_HEAD = select(audit_chain).order_by(audit_chain.c.number.desc()).limit(1)
LIST_BATCHES = (
    select(audit_chain)
    .where(audit_chain.c.number > bindparam("after"))
    .order_by(audit_chain.c.number)
    .limit(bindparam("limit"))
)
INSERT_BATCH = insert(audit_chain).ext(on_conflict("DO NOTHING")).returning(audit_chain.c.number)
LIST_EVENTS = (
    select(event)
    .where(event.c.id > bindparam("after"), event.c.id < bindparam("before"))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
)
COUNT_EVENTS = select(func.count()).where(event.c.id > bindparam("after"))


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events under one digest.

    Attributes:
        number: Its place in the chain, from 1 on.
        from_id: The id of its first event.
        to_id: The id of its last event.
        events: How many it holds.
        events_digest: Keyed digest of the events.
        digest: Keyed digest of all of the above and the digest of the batch before, so that
            the chain can be followed where events have expired.
    """

    number: int
    from_id: str
    to_id: str
    events: int
    events_digest: bytes
    digest: bytes
    created_at: datetime


def get_head(db: Connection) -> Batch | None:
    """Return the newest batch."""
    row = db.execute(GET_HEAD).one_or_none()
    return _batch(row) if row else None


def list_batches(db: Connection, *, after: int, limit: int) -> list[Batch]:
    """Return the batches that follow number *after*, in the order of the chain."""
    return [_batch(row) for row in db.execute(LIST_BATCHES, {"after": after, "limit": limit})]


def insert_batch(tx: Connection, new: Batch) -> bool:
    """Append a batch; False when another process has appended one of this number."""
    row = {
        "number": new.number,
        "from_id": new.from_id,
        "to_id": new.to_id,
        "events": new.events,
        "events_digest": new.events_digest,
        "digest": new.digest,
        "created_at": new.created_at,
    }
    return tx.execute(INSERT_BATCH, row).scalar() is not None


def list_events(db: Connection, *, after: str, before: str, limit: int) -> Sequence[Row[Any]]:
    """Return events between two ids, both excluded, the oldest first."""
    params = {"after": after, "before": before, "limit": limit}
    return db.execute(LIST_EVENTS, params).all()


def count_events(db: Connection, *, after: str) -> int:
    """Return how many events follow the id *after*."""
    return db.execute(COUNT_EVENTS, {"after": after}).scalar_one()


def _batch(row: Row[Any]) -> Batch:
    return Batch(
        number=row.number,
        from_id=row.from_id,
        to_id=row.to_id,
        events=row.events,
        events_digest=row.events_digest,
        digest=row.digest,
        created_at=row.created_at,
    )
