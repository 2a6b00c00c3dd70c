"""``/api/events``: the account's own security history."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel
from sqlalchemy import Row

from twinlock.api.paging import Limit, unknown_cursor
from twinlock.api.responses import SIGNED_IN_PROBLEMS
from twinlock.audit.events import NOTE
from twinlock.audit.store import NEWEST, details_of
from twinlock.core.keyring import DigestKey
from twinlock.flows.event_ids import inner_id, shown_id
from twinlock.web.deps import Now, Running
from twinlock.web.guard import OwnUser
from twinlock.web.routes import router

api = router(prefix="/events", tags=["events"], responses=SIGNED_IN_PROBLEMS)

Cursor = Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")]


class EventOut(BaseModel):
    """Something that happened to the account."""

    id: str
    type: str
    at: datetime
    reason: str | None
    method: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None
    count: int
    details: dict[str, Any]

    @classmethod
    def of(cls, row: Row[Any], key: DigestKey) -> "EventOut":
        """Translate."""
        return cls(
            id=shown_id(key, row.id),
            type=row.type,
            at=row.at,
            reason=row.reason,
            method=row.method,
            session_id=row.session_id,
            ip=row.ip,
            user_agent=row.user_agent,
            count=row._mapping["count"],
            details={k: v for k, v in details_of(row).items() if k != NOTE},
        )


class EventListOut(BaseModel):
    """A page of events, the newest first."""

    events: list[EventOut]
    next_cursor: str | None


@api.get("", response_model=EventListOut)
async def list_events(
    user: OwnUser, runtime: Running, now: Now, limit: Limit = 50, cursor: Cursor = None
) -> EventListOut | Response:
    """List what happened to the account."""
    key = runtime.parts.digest_key
    before = inner_id(key, cursor, now=now) if cursor else NEWEST
    if before is None:
        return unknown_cursor()
    rows = await runtime.workers.run(runtime.sessions.list_events, user, before=before, limit=limit)
    following = shown_id(key, rows[-1].id) if len(rows) == limit else None
    return EventListOut(events=[EventOut.of(row, key) for row in rows], next_cursor=following)
