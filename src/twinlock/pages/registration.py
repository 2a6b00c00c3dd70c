"""``/registration``: an account of one's own, where that is switched on."""

from datetime import datetime
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.audit.events import Caller
from twinlock.flows.first_password import Welcomed
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.registration import Applicant
from twinlock.pages.enrollment import lead_welcomed
from twinlock.pages.forms import Fields, Form, has_form_token
from twinlock.pages.mailed_links import MAX_NAME, PasswordLink, Words, with_form
from twinlock.pages.replies import minutes, see_other, throttled
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import From, Now, Running
from twinlock.web.first_password import register
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/registration")

_ASK: Final = "registration/ask.html"
_MAX_NAME: Final = 255


def _typed(form: Fields) -> Words:
    return {
        "username": form.text("username").strip()[:_MAX_NAME],
        "full_name": form.line("full_name", max_length=_MAX_NAME),
    }


async def _register(
    runtime: Runtime, token: str, typed: Words, password: str, caller: Caller, *, now: datetime
) -> Welcomed | Refused:
    applicant = Applicant(typed["username"], typed["full_name"] or None)
    return await register(runtime, token, applicant, password, caller, now=now)


_ACCOUNT: Final = PasswordLink[str, Welcomed](
    kind="registration",
    template="registration/form.html",
    look=lambda runtime: runtime.registration.look,
    shown=lambda email: {"email": email},
    typed=_typed,
    set_password=_register,
    lead=lead_welcomed,
)


@pages.get("")
async def show_request(request: Request, runtime: Running) -> HTMLResponse:
    """Ask for an address."""
    _require_enabled(runtime)
    return with_form(request, runtime, _ASK, email="")


@pages.post("")
async def ask(request: Request, form: Form, runtime: Running, caller: From, now: Now) -> Response:
    """Mail a link; the answer is the same whoever has the address."""
    _require_enabled(runtime)
    email = form.text("email").strip()[:MAX_NAME]
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
    """Ask for names and a password."""
    return await _ACCOUNT.show(request, runtime, token, now=now)


@pages.post("/{token}")
async def make_account(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Make the account, and go on with the second factor."""
    return await _ACCOUNT.take(request, form, runtime, token, caller, now=now)


def _require_enabled(runtime: Runtime) -> None:
    if not runtime.registration.is_enabled:
        raise ProblemError(404, "not_found", "There is nothing here.")
