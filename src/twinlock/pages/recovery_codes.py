"""``/factors/recovery_codes``: new codes, shown once, and the proof that they were kept."""

from datetime import datetime
from typing import Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.factors import FactorsChanged
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, IssuedCookie, Refused, StepUpRequired
from twinlock.pages.forms import Form
from twinlock.pages.replies import home, with_session
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import (
    Acting,
    Looking,
    SeeOtherError,
    Visitor,
    prove_again,
    require_fresh,
)
from twinlock.web.deps import From, Now, Running
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/factors/recovery_codes")

_HERE: Final = "/factors/recovery_codes"
_MAX_PASTE: Final = 4096


@pages.get("")
async def ask(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Say what follows from making new codes."""
    require_fresh(runtime, visitor, _HERE, has_factor=True)
    return page(request, "factors/new_codes.html", visitor=visitor)


@pages.post("")
async def make(
    visitor: Acting, request: Request, runtime: Running, caller: From, now: Now
) -> Response:
    """Make ten new codes; the old ones are dead, and every other session ends."""
    done = await runtime.workers.run(
        runtime.factors.make_recovery_codes,
        visitor.user,
        caller,
        transport=Transport.COOKIE,
        now=now,
    )
    match done:
        case FactorsChanged():
            shown = codes_page(request, runtime, visitor, done, now=now)
            return with_session(runtime, shown, done.signed_in)
        case StepUpRequired():
            raise prove_again(runtime, _HERE)
        case Refused(code=code):
            return page(request, "factors/refused.html", status=400, visitor=visitor, code=code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


@pages.get("/check")
async def show_check(visitor: Looking, request: Request) -> HTMLResponse:
    """Ask for one of the codes, which are not shown any more."""
    return page(request, "factors/check_codes.html", visitor=visitor)


@pages.post("/check")
async def check(visitor: Acting, request: Request, form: Form, runtime: Running) -> Response:
    """Compare a code with the account's own; it is not used up."""
    typed = form.text("answer")[:_MAX_PASTE]
    is_kept = await runtime.workers.run(runtime.factors.holds_recovery_code, visitor.user, typed)
    if is_kept:
        return home(runtime, note="codes_kept")
    return page(
        request, "factors/check_codes.html", status=400, visitor=visitor, error="unknown_code"
    )


def codes_page(
    request: Request, runtime: Runtime, visitor: Visitor, done: FactorsChanged, *, now: datetime
) -> HTMLResponse:
    """Show the codes, this once; the page's forms belong to the session that follows."""
    issued = done.signed_in.credentials
    csrf = issued.csrf_token if isinstance(issued, IssuedCookie) else visitor.csrf
    lines = [*done.recovery_codes, ""]
    return page(
        request,
        "factors/codes.html",
        visitor=Visitor(visitor.user, visitor.cookie, csrf),
        codes=done.recovery_codes,
        download=f"data:text/plain;charset=utf-8,{quote(chr(10).join(lines))}",
        made_at=now,
        done=None,
    )
