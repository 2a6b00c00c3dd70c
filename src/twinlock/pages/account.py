"""``/account``: what protects the own account, and the change of its password."""

from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired, Throttled
from twinlock.flows.own_security import Security
from twinlock.pages import activity
from twinlock.pages.forms import Form
from twinlock.pages.paths import HOME, own_path, with_query
from twinlock.pages.replies import after, home, minutes, see_other, throttled, with_session
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
from twinlock.web.deps import From, Now, Running, TrustedDevice
from twinlock.web.password_change import change_password
from twinlock.web.runtime import Runtime

pages = page_router()

_MAX_EMAIL: Final = 1024


@pages.get("/")
async def show_front(runtime: Running) -> Response:
    """Lead to the own account."""
    return see_other(runtime.prefix + HOME)


@pages.get("/account")
async def show_security(
    visitor: Looking, request: Request, runtime: Running, device: TrustedDevice, now: Now
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
        can_mail=runtime.parts.mail is not None,
        this_device=(device or "").partition(".")[0],
        are_ours=runtime.parts.accounts.are_ours,
        sentence=activity.sentence,
        is_alarm=activity.is_alarm,
    )


@pages.get("/account/password")
async def show_password(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Ask for the current password and the next."""
    there = own_path(request.query_params.get("next"))
    await _require_fresh(runtime, visitor, with_query("/account/password", next=there))
    return _password_page(request, visitor, there)


@pages.post("/account/password")
async def set_password(
    visitor: Acting, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Change the password; every session ends, and this one is replaced."""
    there = own_path(form.text("next"))
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
            note = "password_changed"
            on = see_other(there, note=note) if there else after(request, runtime, note=note)
            return with_session(runtime, on, done)
        case StepUpRequired():
            raise prove_again(runtime, "/account/password")
        case Throttled():
            shown = _password_page(
                request, visitor, there, status=429, error="wait", minutes=minutes(done)
            )
            return throttled(shown, done)
        case Refused(code=code):
            return _password_page(request, visitor, there, status=400, error=code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


@pages.get("/account/email")
async def show_email(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Ask for another e-mail address."""
    await _require_fresh(runtime, visitor, "/account/email")
    return _email_page(request, visitor, visitor.user.email or "")


@pages.post("/account/email")
async def set_email(
    visitor: Acting, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Mail the links; other sessions end, and the address stays what it is for now."""
    email = form.text("email").strip()[:_MAX_EMAIL]
    done = await runtime.workers.run(
        runtime.email_change.begin,
        visitor.user,
        email,
        caller,
        transport=Transport.COOKIE,
        now=now,
    )
    match done:
        case SignedIn():
            return with_session(runtime, home(runtime, note="email_asked"), done)
        case StepUpRequired():
            raise prove_again(runtime, "/account/email")
        case Refused(code=code):
            return _email_page(request, visitor, email, status=400, error=code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


async def _require_fresh(runtime: Runtime, visitor: Visitor, back: str) -> None:
    found = await runtime.workers.run(runtime.factors.list_factors, visitor.user)
    has_factor = not isinstance(found, Denied) and bool(found.authenticators)
    require_fresh(runtime, visitor, back, has_factor=has_factor)


def _email_page(
    request: Request,
    visitor: Visitor,
    email: str,
    *,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    return page(
        request, "account/email.html", status=status, visitor=visitor, email=email, error=error
    )


def _password_page(
    request: Request,
    visitor: Visitor,
    there: str | None,
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
        next=there or "",
    )
