"""``/invitations``: accept one; a first password, and then the first second factor."""

from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.accounts.directory import Account
from twinlock.flows.first_password import Welcomed
from twinlock.flows.outcomes import Refused
from twinlock.flows.recovery import LINK_INVALID
from twinlock.pages.enrollment import lead_there
from twinlock.pages.forms import Form, has_form_token
from twinlock.pages.recovery import dead_link, with_form
from twinlock.pages.routes import page_router
from twinlock.web.deps import From, Now, Running
from twinlock.web.first_password import accept_invitation
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/invitations")

_MAX_TOKEN: Final = 128
_MAX_PASSWORD: Final = 16_384


@pages.get("/{token}")
async def show_invitation(token: str, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Welcome, and ask for a password; looking changes nothing."""
    account = await runtime.workers.run(runtime.invitations.look, token[:_MAX_TOKEN], now=now)
    if account is None:
        return dead_link(request, "invitation")
    return _welcome(request, runtime, account)


@pages.post("/{token}")
async def accept(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Set the password, and go on with the second factor."""
    token = token[:_MAX_TOKEN]
    account = await runtime.workers.run(runtime.invitations.look, token, now=now)
    if account is None:
        return dead_link(request, "invitation")
    if not has_form_token(request, form):
        return _welcome(request, runtime, account, status=403, error="stale")
    password = form.text("new_password")[: _MAX_PASSWORD + 1]
    match await accept_invitation(runtime, token, password, caller, now=now):
        case Welcomed() as welcomed:
            demanded = welcomed.is_demanded
            return lead_there(request, runtime, welcomed.login, None, is_forced=demanded)
        case Refused(code=code) if code == LINK_INVALID.code:
            return dead_link(request, "invitation")
        case Refused(code=code):
            return _welcome(request, runtime, account, status=400, error=code)


def _welcome(
    request: Request,
    runtime: Runtime,
    account: Account,
    *,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    return with_form(
        request,
        runtime,
        "invitations/welcome.html",
        status,
        error=error,
        username=account.username,
    )
