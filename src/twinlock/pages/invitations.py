"""``/invitations``: accept one; a first password, and then the first second factor."""

from datetime import datetime
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.audit.events import Caller
from twinlock.flows.first_password import Welcomed
from twinlock.flows.invitations import Invited
from twinlock.flows.outcomes import Refused
from twinlock.pages.enrollment import lead_welcomed
from twinlock.pages.forms import Form
from twinlock.pages.mailed_links import PasswordLink, Words
from twinlock.pages.routes import page_router
from twinlock.web.deps import From, Now, Running
from twinlock.web.first_password import accept_invitation
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/invitations")


async def _accept(
    runtime: Runtime, token: str, _: Words, password: str, caller: Caller, *, now: datetime
) -> Welcomed | Refused:
    return await accept_invitation(runtime, token, password, caller, now=now)


_INVITATION: Final = PasswordLink[Invited, Welcomed](
    kind="invitation",
    template="invitations/welcome.html",
    look=lambda runtime: runtime.invitations.look,
    shown=lambda one: {"username": one.account.username, "inviter": one.inviter},
    set_password=_accept,
    lead=lead_welcomed,
)


@pages.get("/{token}")
async def show_invitation(token: str, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Welcome, and ask for a password."""
    return await _INVITATION.show(request, runtime, token, now=now)


@pages.post("/{token}")
async def accept(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Set the password, and go on with the second factor."""
    return await _INVITATION.take(request, form, runtime, token, caller, now=now)
