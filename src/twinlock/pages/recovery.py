"""``/recovery``: a forgotten password, and what mailed links do. Nothing here signs anybody in.

Looking at a mailed link changes nothing, because mail programs look at links by themselves; its
button does.
"""

from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.accounts.directory import Account
from twinlock.flows.email_change import EMAIL_TAKEN
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.recovery import LINK_INVALID, PasswordSet
from twinlock.pages.forms import Form, form_secret, form_token, has_form_token, keep_form_secret
from twinlock.pages.replies import minutes, see_other, throttled
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import From, Now, Running
from twinlock.web.password_recovery import recover_password
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/recovery")

_MAX_NAME: Final = 1024
_MAX_TOKEN: Final = 128
_MAX_PASSWORD: Final = 16_384
_DONE: Final = {
    "password": "recovery/password_set.html",
    "email": "recovery/email_changed.html",
    "cancelled": "recovery/email_kept.html",
    "kept": "recovery/factors_kept.html",
}


@pages.get("/password")
async def show_request(request: Request, runtime: Running) -> HTMLResponse:
    """Ask whose password is forgotten."""
    return with_form(request, runtime, "recovery/ask.html", name="")


@pages.post("/password")
async def ask(request: Request, form: Form, runtime: Running, caller: From, now: Now) -> Response:
    """Take the request; the answer is the same for every name."""
    name = form.text("username").strip()[:_MAX_NAME]
    if not has_form_token(request, form):
        return with_form(request, runtime, "recovery/ask.html", 403, error="stale", name=name)
    asked = await runtime.workers.run(runtime.recovery.ask, name, caller, now=now)
    if isinstance(asked, Throttled):
        wait = minutes(asked)
        shown = with_form(
            request, runtime, "recovery/ask.html", 429, error="wait", name=name, minutes=wait
        )
        return throttled(shown, asked)
    return see_other(f"{runtime.prefix}/recovery/sent")


@pages.get("/sent")
async def show_sent(request: Request, runtime: Running) -> HTMLResponse:
    """Say where to look now."""
    lifetime = runtime.parts.lifetimes.recovery_link
    return page(request, "recovery/sent.html", lasts=int(lifetime.total_seconds() // 60))


@pages.get("/done/{what}")
async def show_done(what: str, request: Request) -> HTMLResponse:
    """Say what a link has done, and lead to the sign-in page."""
    if what not in _DONE:
        raise ProblemError(404, "not_found", "There is nothing here.")
    return page(request, _DONE[what])


@pages.get("/password/{token}")
async def show_reset(token: str, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Ask for the new password, if the link is alive."""
    account = await runtime.workers.run(runtime.recovery.look, token[:_MAX_TOKEN], now=now)
    if account is None:
        return dead_link(request, "password")
    return _reset_page(request, runtime, account)


@pages.post("/password/{token}")
async def reset(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Set the password; who needs a second factor needs it at the next sign-in, too."""
    token = token[:_MAX_TOKEN]
    account = await runtime.workers.run(runtime.recovery.look, token, now=now)
    if account is None:
        return dead_link(request, "password")
    if not has_form_token(request, form):
        return _reset_page(request, runtime, account, status=403, error="stale")
    password = form.text("new_password")[: _MAX_PASSWORD + 1]
    match await recover_password(runtime, token, password, caller, now=now):
        case PasswordSet():
            return see_other(f"{runtime.prefix}/recovery/done/password")
        case Refused(code=code) if code == LINK_INVALID.code:
            return dead_link(request, "password")
        case Refused(code=code):
            return _reset_page(request, runtime, account, status=400, error=code)


@pages.get("/email/cancel/{token}")
async def show_cancel(token: str, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Offer to stop a change of the address."""
    found = await runtime.workers.run(runtime.email_change.look_back, token[:_MAX_TOKEN], now=now)
    if found is None:
        return dead_link(request, "cancel")
    return with_form(request, runtime, "recovery/email_cancel.html", account=found)


@pages.post("/email/cancel/{token}")
async def cancel(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Stop the change."""
    if not has_form_token(request, form):
        return await show_cancel(token, request, runtime, now)
    done = await runtime.workers.run(
        runtime.email_change.cancel, token[:_MAX_TOKEN], caller, now=now
    )
    if isinstance(done, Refused):
        return dead_link(request, "cancel")
    return see_other(f"{runtime.prefix}/recovery/done/cancelled")


@pages.get("/factors/cancel/{token}")
async def show_factor_reset(
    token: str, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Offer to stop a reset of the account's factors."""
    found = await runtime.workers.run(runtime.factor_resets.look, token[:_MAX_TOKEN], now=now)
    if found is None:
        return dead_link(request, "factors")
    return with_form(request, runtime, "recovery/factors_cancel.html", account=found)


@pages.post("/factors/cancel/{token}")
async def stop_factor_reset(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Stop the reset."""
    if not has_form_token(request, form):
        return await show_factor_reset(token, request, runtime, now)
    done = await runtime.workers.run(
        runtime.factor_resets.stop, token[:_MAX_TOKEN], caller, now=now
    )
    if isinstance(done, Refused):
        return dead_link(request, "factors")
    return see_other(f"{runtime.prefix}/recovery/done/kept")


@pages.get("/email/{token}")
async def show_confirmation(
    token: str, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Offer to put the new address in force."""
    found = await runtime.workers.run(runtime.email_change.look, token[:_MAX_TOKEN], now=now)
    if found is None:
        return dead_link(request, "email")
    return with_form(
        request, runtime, "recovery/email_confirm.html", account=found[0], email=found[1]
    )


@pages.post("/email/{token}")
async def confirm(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Put the new address in force."""
    if not has_form_token(request, form):
        return await show_confirmation(token, request, runtime, now)
    done = await runtime.workers.run(
        runtime.email_change.confirm, token[:_MAX_TOKEN], caller, now=now
    )
    match done:
        case Refused(code=code) if code == EMAIL_TAKEN.code:
            return page(request, "recovery/email_taken.html", status=400)
        case Refused():
            return dead_link(request, "email")
        case Account():
            return see_other(f"{runtime.prefix}/recovery/done/email")


def _reset_page(
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
        "recovery/reset.html",
        status,
        error=error,
        username=account.username,
    )


def dead_link(request: Request, kind: str) -> HTMLResponse:
    """Say that a link leads nowhere; not why, and the same for one that never was."""
    return page(request, "recovery/dead_link.html", status=404, kind=kind)


def with_form(
    request: Request, runtime: Runtime, template: str, status: int = 200, **shown: Any
) -> HTMLResponse:
    """Return a page with a form that is sent before there is a session."""
    secret = form_secret(request)
    shown = {"minutes": 0, "csrf": form_token(runtime, secret), **shown}
    response = page(request, template, status=status, **shown)
    keep_form_secret(response, secret)
    return response
