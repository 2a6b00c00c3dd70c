"""``/admin/events``: what happened, to whom and by whom; and the same as a file."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse

from twinlock.audit.events import EventType
from twinlock.audit.store import NEWEST
from twinlock.flows import auditing, event_lines
from twinlock.flows.auditing import DENIALS, SUCCESSES, EventFilter
from twinlock.pages.admin import happenings
from twinlock.pages.admin.admitted import Admin
from twinlock.pages.paths import with_query
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.admin_guard import ADMIN_GUARD
from twinlock.web.deps import Running
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/admin/events")

_ON_A_PAGE: Final = 50
_AT_ONCE: Final = 500
_MAX_LENGTH: Final = 320
_CURSOR: Final = re.compile("[0-9a-f]{32}")
_DATE: Final = re.compile(r"(19[7-9]\d|20\d\d)-\d\d-\d\d")
_OUTCOMES: Final = {"denied": DENIALS, "succeeded": SUCCESSES}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form asks for; what it never offered is left out."""

    user: str
    type: str
    outcome: str
    since: str
    until: str
    ip: str

    @property
    def filter(self) -> EventFilter | None:
        """Return which events these are; None where no event can be."""
        types = tuple(_OUTCOMES.get(self.outcome, ()))
        if self.type:
            one = EventType(self.type)
            if types and one not in types:
                return None
            types = (one,)
        since, until = _moment(self.since), _moment(self.until)
        end = until and until + timedelta(days=1)
        return EventFilter(self.user, types, since, end, _network(self.ip))

    def path(self, start: str, **more: str | None) -> str:
        """Return the address of the same events."""
        return with_query(
            start,
            user=self.user,
            type=self.type,
            outcome=self.outcome,
            since=self.since,
            until=self.until,
            ip=self.ip,
            **more,
        )


@pages.get("")
async def show_events(admin: Admin, request: Request, runtime: Running) -> HTMLResponse:
    """Show a page of events; a cursor of another time leads to its start."""
    asked, start = _asked(request), f"{runtime.prefix}/admin/events"
    cursor = request.query_params.get("cursor", "")
    before = cursor if _CURSOR.fullmatch(cursor) else NEWEST
    found = None
    if asked.filter is not None:
        found = await runtime.workers.run(
            auditing.find_events, runtime.parts, asked.filter, before=before, limit=_ON_A_PAGE
        )
    following = found.next_cursor if found else None
    return page(
        request,
        "admin/events.html",
        visitor=admin,
        here="events",
        asked=asked,
        kinds=happenings.SENTENCES,
        events=[(row, event_lines.facts_of(row)) for row in found.events] if found else [],
        usernames=found.usernames if found else {},
        is_nobody=found is None and bool(asked.user),
        start=asked.path(start),
        following=asked.path(start, cursor=following) if following else None,
        looked_at=found.looked_at if found else None,
        is_start=before == NEWEST,
        as_csv=asked.path(f"{start}/export", format="csv"),
        as_json=asked.path(f"{start}/export", format="jsonl"),
        sentence=happenings.sentence,
        is_alarm=happenings.is_alarm,
    )


@pages.get("/export")
async def export(admin: Admin, request: Request, runtime: Running) -> StreamingResponse:
    """Send every event that is looked for, the newest first, in short reads."""
    is_csv = request.query_params.get("format") == "csv"
    name, media_type = ("events.csv", "text/csv") if is_csv else ("events.jsonl", "text/plain")
    return StreamingResponse(
        _lines(runtime, admin.cookie, _asked(request).filter, is_csv=is_csv),
        media_type=f"{media_type}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _lines(
    runtime: Runtime, cookie: str, wanted: EventFilter | None, *, is_csv: bool
) -> AsyncIterator[str]:
    """Give the lines for as long as the admin who asked for them is one."""
    if is_csv:
        yield event_lines.csv_heading()
    line_of = event_lines.csv_line if is_csv else event_lines.json_line
    before: str | None = NEWEST
    while before is not None and wanted is not None and await _is_admin(runtime, cookie):
        found = await runtime.workers.run(
            auditing.find_events, runtime.parts, wanted, before=before, limit=_AT_ONCE
        )
        if found is None:
            return
        yield "".join(map(line_of, found.events))
        before = found.next_cursor


async def _is_admin(runtime: Runtime, cookie: str) -> bool:
    """Tell whether the visitor still is an admin; a long export may outlive a fresh proof."""
    user = await runtime.sight.user_of_cookie(cookie)
    try:
        return user is not None and bool(ADMIN_GUARD.admit(user, runtime))
    except ProblemError as error:
        return error.status_code == 401


def _asked(request: Request) -> Asked:
    def line(name: str) -> str:
        text = request.query_params.get(name, "").strip()
        return text if len(text) <= _MAX_LENGTH and text.isprintable() else ""

    type_, outcome, since, until = line("type"), line("outcome"), line("since"), line("until")
    ip = line("ip")
    return Asked(
        user=line("user"),
        type=type_ if type_ in set(EventType) else "",
        outcome=outcome if outcome in _OUTCOMES else "",
        since=since if _moment(since) else "",
        until=until if _moment(until) else "",
        ip=ip if _network(ip) else "",
    )


def _moment(text: str) -> datetime | None:
    """Return the beginning of a day in UTC; None where it is none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the address or network that was typed; None where it is none."""
    try:
        return ip_network(text, strict=False) if text else None
    except ValueError:
        return None
