"""``/not-me``: what to do about something in the account that somebody else did.

The page goes through the steps with its owner. What is done is read from the account's own
history, since the moment that a cookie keeps.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.audit.events import EventType
from twinlock.audit.store import NEWEST
from twinlock.flows.outcomes import StepUpRequired
from twinlock.flows.own_security import Security
from twinlock.pages import cookies
from twinlock.pages.replies import home, see_other
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import Acting, Looking, SeeOtherError, prove_again
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/not-me")

_HERE: Final = "/not-me"
_GOES_ON: Final = timedelta(hours=1)
_LOOKED_BACK: Final = 50
_LONGEST: Final = 11
"""Digits of a moment in seconds: with one more, no calendar has it."""


@pages.get("")
async def show_steps(
    visitor: Looking, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Show what to do, and what of it is done."""
    found = await runtime.workers.run(runtime.security.look, visitor.user, now=now)
    if not isinstance(found, Security):
        raise SeeOtherError(f"{runtime.prefix}/login")
    begun = _begun(request, now=now)
    events = await runtime.workers.run(
        runtime.sessions.list_events, visitor.user, before=NEWEST, limit=_LOOKED_BACK
    )
    since = {event.type for event in events if begun is not None and event.at >= begun}
    return page(
        request,
        "not_me/steps.html",
        visitor=visitor,
        here="events",
        found=found,
        is_begun=begun is not None,
        others=max(0, len(found.sessions) - 1),
        has_password=EventType.PASSWORD_CHANGED in since,
        has_codes=EventType.RECOVERY_CODES_CREATED in since,
        are_ours=runtime.parts.accounts.are_ours,
    )


@pages.post("")
async def begin(visitor: Acting, runtime: Running, caller: From, now: Now) -> Response:
    """Sign out everywhere else and forget every device, at once."""
    for step in (runtime.sessions.end_other_sessions, runtime.devices.revoke_all):
        done = await runtime.workers.run(step, visitor.user, caller, now=now)
        if isinstance(done, StepUpRequired):
            raise prove_again(runtime, _HERE)
    response = see_other(runtime.prefix + _HERE)
    cookies.give(response, cookies.STEPS, str(int(now.timestamp())), max_age=_GOES_ON)
    return response


@pages.post("/finish")
async def finish(visitor: Acting, runtime: Running) -> Response:
    """Lead back to the account."""
    response = home(runtime)
    cookies.forget(response, cookies.STEPS)
    return response


def _begun(request: Request, *, now: datetime) -> datetime | None:
    """Return when this browser began to go through the steps."""
    text = cookies.read(request, cookies.STEPS) or ""
    if not text.isascii() or not text.isdecimal() or len(text) > _LONGEST:
        return None
    begun = datetime.fromtimestamp(int(text), UTC)
    return begun if now - _GOES_ON <= begun <= now else None
