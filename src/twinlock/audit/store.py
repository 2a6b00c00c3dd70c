"""All SQL of security events."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select

from twinlock.audit.events import NOTE, Event, EventType
from twinlock.audit.tables import event
from twinlock.core.proof import SubjectId
from twinlock.core.secrets import uuid7
from twinlock.db.conflict import on_conflict
from twinlock.db.engine import note
from twinlock.db.types import UtcDateTime

INSERT_EVENT = insert(event)
INSERT_REPEATABLE = insert(event).ext(
    on_conflict("(repeat_key) DO UPDATE SET count = event.count + excluded.count")
)
LIST_EVENTS = (
    select(event)
    .where(event.c.id < bindparam("before"))
    .order_by(event.c.id.desc())
    .limit(bindparam("limit"))
)
LIST_EVENTS_OF_SUBJECT = LIST_EVENTS.where(event.c.subject_id == bindparam("subject"))
LIST_EVENTS_OF_TYPE = LIST_EVENTS.where(event.c.type == bindparam("type"))
LIST_EVENTS_OF_SUBJECT_AND_TYPE = LIST_EVENTS_OF_SUBJECT.where(event.c.type == bindparam("type"))
LIST_PLACES = (
    select(event.c.ip)
    .where(event.c.subject_id == bindparam("subject"), event.c.id >= bindparam("first"))
    .distinct()
)
EXPIRE_EVENTS = delete(event).where(
    event.c.id.in_(
        select(event.c.id)
        .where(event.c.at < bindparam("older_than", type_=UtcDateTime()))
        .order_by(event.c.at)
        .limit(bindparam("limit"))
    )
)
_OF_TYPE = (
    select(event.c.id)
    .where(
        event.c.type == bindparam("type"),
        event.c.id >= bindparam("first"),
        event.c.id < bindparam("before"),
    )
    .limit(bindparam("limit"))
    .subquery()
)
COUNT_OF_TYPE = select(func.count()).select_from(_OF_TYPE)
OLDEST_ID = select(func.min(event.c.id))

NEWEST = "g"
"""A cursor that lies after every event's id."""


def record(tx: Connection, happened: Event) -> None:
    """Write an event, in the transaction of what it records."""
    caller = happened.caller
    details = dict(happened.details)
    if caller.note:
        details[NOTE] = caller.note
    row = {
        "id": uuid7(happened.at),
        "type": happened.type,
        "subject_id": happened.subject,
        "actor": caller.actor,
        "name_digest": happened.name_digest,
        "reason": happened.reason,
        "method": happened.method,
        "session_id": happened.session_id,
        "ip": caller.ip,
        "user_agent": caller.user_agent,
        "details": json.dumps(details) if details else "{}",
        "repeat_key": happened.repeat_key,
        "count": happened.times,
        "at": happened.at,
    }
    tx.execute(INSERT_EVENT if happened.repeat_key is None else INSERT_REPEATABLE, row)
    note(tx, happened)


def list_events(
    db: Connection,
    *,
    limit: int,
    before: str = NEWEST,
    subject: SubjectId | None = None,
    type_: EventType | None = None,
) -> Sequence[Row[Any]]:
    """Return events, the newest first, that lie before the event *before*."""
    params: dict[str, Any] = {"limit": limit, "before": before}
    match subject, type_:
        case None, None:
            statement = LIST_EVENTS
        case _, None:
            statement = LIST_EVENTS_OF_SUBJECT
            params["subject"] = subject
        case None, _:
            statement = LIST_EVENTS_OF_TYPE
            params["type"] = type_
        case _:
            statement = LIST_EVENTS_OF_SUBJECT_AND_TYPE
            params |= {"subject": subject, "type": type_}
    return db.execute(statement, params).all()


def list_places(db: Connection, subject: SubjectId, *, first: str) -> Sequence[str | None]:
    """Return the addresses that events of an account came from, from the id *first* on."""
    return db.execute(LIST_PLACES, {"subject": subject, "first": first}).scalars().all()


def count_of_type(db: Connection, type_: EventType, *, first: str, before: str, limit: int) -> int:
    """Count events of a type between two ids, up to *limit*."""
    params = {"type": type_, "first": first, "before": before, "limit": limit}
    return db.execute(COUNT_OF_TYPE, params).scalar_one()


def oldest_id(db: Connection) -> str | None:
    """Return the id of the oldest event that is kept."""
    oldest: str | None = db.execute(OLDEST_ID).scalar_one()
    return oldest


def expire(tx: Connection, *, older_than: datetime, limit: int) -> int:
    """Delete at most *limit* events older than *older_than*; return how many."""
    return tx.execute(EXPIRE_EVENTS, {"older_than": older_than, "limit": limit}).rowcount


def details_of(row: Row[Any]) -> dict[str, Any]:
    """Return an event's details; a text that is no JSON object of ours is shown as it stands.

    One changed row must not keep the others from being read; the chain shows the change.
    """
    try:
        details = json.loads(row.details)
    except (ValueError, RecursionError):
        details = None
    return details if isinstance(details, dict) else {"unreadable": row.details}
