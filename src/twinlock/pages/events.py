"""``/events``: everything that happened to the own account."""

import re
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse

from twinlock.audit.store import NEWEST
from twinlock.pages import activity
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import Looking
from twinlock.web.deps import Running

pages = page_router(prefix="/events")

_ON_A_PAGE: Final = 50
_CURSOR: Final = re.compile("[0-9a-f]{32}")


@pages.get("")
async def show_events(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Show a page of the history; a cursor of another time leads to its start."""
    cursor = request.query_params.get("cursor", "")
    before = cursor if _CURSOR.fullmatch(cursor) else NEWEST
    rows = await runtime.workers.run(
        runtime.sessions.list_events, visitor.user, before=before, limit=_ON_A_PAGE
    )
    return page(
        request,
        "events/history.html",
        visitor=visitor,
        here="events",
        events=rows,
        following=rows[-1].id if len(rows) == _ON_A_PAGE else None,
        is_start=before == NEWEST,
        sentence=activity.sentence,
        is_alarm=activity.is_alarm,
    )
