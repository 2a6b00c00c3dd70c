"""``/factors/recovery_codes``: new codes, shown once, and the proof that they were kept."""

from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.factors import NO_FACTOR, FactorList, FactorsChanged
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, StepUpRequired
from twinlock.pages.enrolling import codes_page, refused_page
from twinlock.pages.forms import Form
from twinlock.pages.paths import own_path
from twinlock.pages.replies import after, see_other, with_session
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import (
    Acting,
    Looking,
    SeeOtherError,
    prove_again,
    require_fresh,
)
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/factors/recovery_codes")

_HERE: Final = "/factors/recovery_codes"
_MAX_PASTE: Final = 4096


@pages.get("")
async def ask(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Say what follows from making new codes; they belong to a second factor."""
    found = await runtime.workers.run(runtime.factors.list_factors, visitor.user)
    if isinstance(found, FactorList) and not found.authenticators:
        return refused_page(request, None, NO_FACTOR.code)
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
            name, codes = visitor.user.username, done.recovery_codes
            shown = codes_page(request, runtime, name, codes, None, now=now)
            return with_session(runtime, shown, done.signed_in)
        case StepUpRequired():
            raise prove_again(runtime, _HERE)
        case Refused(code=code):
            return refused_page(request, None, code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


@pages.get("/check")
async def show_check(visitor: Looking, request: Request) -> HTMLResponse:
    """Ask for one of the codes, which are not shown any more."""
    there = own_path(request.query_params.get("next"))
    return page(request, "factors/check_codes.html", visitor=visitor, next=there or "")


@pages.post("/check")
async def check(
    visitor: Acting, request: Request, form: Form, runtime: Running, now: Now
) -> Response:
    """Compare a code with the account's own; it is not used up."""
    typed = form.text("answer")[:_MAX_PASTE]
    there = own_path(form.text("next"))
    is_kept = await runtime.workers.run(
        runtime.factors.holds_recovery_code, visitor.user, typed, now=now
    )
    if is_kept:
        if there is not None:
            return see_other(there, note="codes_kept")
        return after(request, runtime, note="codes_kept")
    return page(
        request,
        "factors/check_codes.html",
        status=400,
        visitor=visitor,
        next=there or "",
        error="unknown_code",
    )
