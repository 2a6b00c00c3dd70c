"""``/registration``: an account of one's own, where that is switched on."""

from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.first_password import Welcomed
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.recovery import LINK_INVALID
from twinlock.flows.registration import Applicant
from twinlock.pages.enrollment import lead_there
from twinlock.pages.forms import Form, has_form_token
from twinlock.pages.recovery import dead_link, with_form
from twinlock.pages.replies import minutes, see_other, throttled
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import From, Now, Running
from twinlock.web.first_password import register
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/registration")

_ASK: Final = "registration/ask.html"
_MAX_TOKEN: Final = 128
_MAX_EMAIL: Final = 1024
_MAX_NAME: Final = 255
_MAX_PASSWORD: Final = 16_384


@pages.get("")
async def show_request(request: Request, runtime: Running) -> HTMLResponse:
    """Ask for an address."""
    _require_enabled(runtime)
    return with_form(request, runtime, _ASK, email="")


@pages.post("")
async def ask(request: Request, form: Form, runtime: Running, caller: From, now: Now) -> Response:
    """Mail a link; the answer is the same whoever has the address."""
    _require_enabled(runtime)
    email = form.text("email").strip()[:_MAX_EMAIL]
    if not has_form_token(request, form):
        return with_form(request, runtime, _ASK, 403, error="stale", email=email)
    match await runtime.workers.run(runtime.registration.ask, email, caller, now=now):
        case Throttled() as wait:
            shown = with_form(
                request, runtime, _ASK, 429, error="wait", email=email, minutes=minutes(wait)
            )
            return throttled(shown, wait)
        case Refused(code=code):
            return with_form(request, runtime, _ASK, 400, error=code, email=email)
        case _:
            return see_other(f"{runtime.prefix}/registration/sent")


@pages.get("/sent")
async def show_sent(request: Request, runtime: Running) -> HTMLResponse:
    """Say where to look now."""
    _require_enabled(runtime)
    return page(request, "registration/sent.html")


@pages.get("/{token}")
async def show_form(token: str, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Ask for names and a password; looking changes nothing."""
    email = await runtime.workers.run(runtime.registration.look, token[:_MAX_TOKEN], now=now)
    return _form(request, runtime, email) if email else dead_link(request, "registration")


@pages.post("/{token}")
async def make_account(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Make the account, and go on with the second factor."""
    token = token[:_MAX_TOKEN]
    email = await runtime.workers.run(runtime.registration.look, token, now=now)
    if not email:
        return dead_link(request, "registration")
    username = form.text("username").strip()[:_MAX_NAME]
    full_name = form.line("full_name", max_length=_MAX_NAME)
    typed = {"username": username, "full_name": full_name}
    if not has_form_token(request, form):
        return _form(request, runtime, email, status=403, error="stale", **typed)
    applicant = Applicant(username, full_name or None)
    password = form.text("new_password")[: _MAX_PASSWORD + 1]
    match await register(runtime, token, applicant, password, caller, now=now):
        case Welcomed() as welcomed:
            demanded = welcomed.is_demanded
            return lead_there(request, runtime, welcomed.login, None, is_forced=demanded)
        case Refused(code=code) if code == LINK_INVALID.code:
            return dead_link(request, "registration")
        case Refused(code=code):
            return _form(request, runtime, email, status=400, error=code, **typed)


def _require_enabled(runtime: Runtime) -> None:
    if not runtime.registration.is_enabled:
        raise ProblemError(404, "not_found", "There is nothing here.")


def _form(
    request: Request,
    runtime: Runtime,
    email: str,
    *,
    status: int = 200,
    error: str | None = None,
    username: str = "",
    full_name: str = "",
) -> HTMLResponse:
    return with_form(
        request,
        runtime,
        "registration/form.html",
        status,
        error=error,
        email=email,
        username=username,
        full_name=full_name,
    )
