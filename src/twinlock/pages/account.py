"""``/account``: what protects the own account, and the change of its password."""

from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired, Throttled
from twinlock.flows.own_security import Security
from twinlock.pages import activity
from twinlock.pages.forms import Form
from twinlock.pages.paths import HOME
from twinlock.pages.replies import home, minutes, see_other, throttled, with_session
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
from twinlock.web.password_change import change_password

pages = page_router()


@pages.get("/")
async def show_front(runtime: Running) -> Response:
    """Lead to the own account."""
    return see_other(runtime.prefix + HOME)


@pages.get("/account")
async def show_security(
    visitor: Looking, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Show the account's locks, where it is signed in, and what happened lately."""
    found = await runtime.workers.run(runtime.security.look, visitor.user, now=now)
    if not isinstance(found, Security):
        raise SeeOtherError(f"{runtime.prefix}/login")
    return page(
        request,
        "account/security.html",
        visitor=visitor,
        here="security",
        found=found,
        sentence=activity.sentence,
        is_alarm=activity.is_alarm,
    )


@pages.get("/account/password")
async def show_password(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Ask for the current password and the next."""
    found = await runtime.workers.run(runtime.factors.list_factors, visitor.user)
    has_factor = not isinstance(found, Denied) and bool(found.authenticators)
    require_fresh(runtime, visitor, "/account/password", has_factor=has_factor)
    return _password_page(request, visitor)


@pages.post("/account/password")
async def set_password(
    visitor: Acting, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Change the password; every session ends, and this one is replaced."""
    done = await change_password(
        runtime,
        visitor.user,
        form.text("current_password"),
        form.text("new_password"),
        caller,
        Transport.COOKIE,
        now=now,
    )
    match done:
        case SignedIn():
            return with_session(runtime, home(runtime, note="password_changed"), done)
        case StepUpRequired():
            raise prove_again(runtime, "/account/password")
        case Throttled():
            shown = _password_page(
                request, visitor, status=429, error="wait", minutes=minutes(done)
            )
            return throttled(shown, done)
        case Refused(code=code):
            return _password_page(request, visitor, status=400, error=code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


def _password_page(
    request: Request,
    visitor: Visitor,
    *,
    status: int = 200,
    error: str | None = None,
    **shown: Any,
) -> HTMLResponse:
    return page(
        request,
        "account/password.html",
        status=status,
        visitor=visitor,
        error=error,
        minutes=shown.get("minutes", 0),
    )
