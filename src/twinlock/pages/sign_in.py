"""The page that begins a sign-in: with a password, or with a passkey alone."""

from datetime import datetime, timedelta
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.passkey_login import PasskeyAsked
from twinlock.pages import cookies, credentials
from twinlock.pages.forms import form_secret, form_token, keep_form_secret
from twinlock.pages.paths import with_query
from twinlock.pages.shown import page
from twinlock.web.runtime import Runtime

_PASSKEY: Final = "passkey"
_REMEMBERED: Final = timedelta(days=180)


async def sign_in_page(
    request: Request,
    runtime: Runtime,
    there: str | None,
    *,
    now: datetime,
    status: int = 200,
    error: str | None = None,
    name: str = "",
    remembers: bool = False,
    minutes: int = 0,
) -> HTMLResponse:
    """Ask for the password, or for a passkey alone: first for what was used the last time."""
    asked = await runtime.workers.run(runtime.passkey_login.begin, now=now)
    options = asked.options if isinstance(asked, PasskeyAsked) else None
    secret = form_secret(request)
    response = page(
        request,
        "login/sign_in.html",
        status=status,
        csrf=form_token(runtime, secret),
        next=there or "",
        again=with_query(f"{runtime.prefix}/login", next=there),
        error=error,
        can_recover=runtime.parts.mail is not None,
        can_register=runtime.registration.is_enabled,
        name=name,
        passkey_login=asked.handle if isinstance(asked, PasskeyAsked) else "",
        options=credentials.written(options),
        passkey_first=options is not None and cookies.read(request, cookies.WAY) == _PASSKEY,
        minutes=minutes,
        can_remember=True,
        remembers=remembers,
    )
    keep_form_secret(response, secret)
    return response


def remember_passkey(response: Response) -> Response:
    """Let this browser be asked for a passkey first; the cookie says nothing else."""
    cookies.give(response, cookies.WAY, _PASSKEY, max_age=_REMEMBERED)
    return response
