"""``/recovery``: a forgotten password, and what mailed links do. Nothing here signs anybody in."""

from datetime import datetime
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller
from twinlock.flows.email_change import EMAIL_TAKEN
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.recovery import PasswordSet
from twinlock.pages.forms import Form, has_form_token
from twinlock.pages.mailed_links import MAX_NAME, ButtonLink, PasswordLink, Words, with_form
from twinlock.pages.replies import minutes, see_other, throttled
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.web.deps import From, Now, Running
from twinlock.web.password_recovery import recover_password
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/recovery")

_DONE: Final = {
    "password": "recovery/password_set.html",
    "email": "recovery/email_changed.html",
    "cancelled": "recovery/email_kept.html",
    "kept": "recovery/factors_kept.html",
}


async def _set_password(
    runtime: Runtime, token: str, _: Words, password: str, caller: Caller, *, now: datetime
) -> PasswordSet | Refused:
    return await recover_password(runtime, token, password, caller, now=now)


_RESET: Final = PasswordLink[Account, PasswordSet](
    kind="password",
    template="recovery/reset.html",
    look=lambda runtime: runtime.recovery.look,
    shown=lambda account: {"username": account.username},
    set_password=_set_password,
    lead=lambda request, runtime, done: see_other(f"{runtime.prefix}/recovery/done/password"),
)
_CONFIRM_EMAIL: Final = ButtonLink[tuple[Account, str]](
    kind="email",
    template="recovery/email_confirm.html",
    look=lambda runtime: runtime.email_change.look,
    act=lambda runtime: runtime.email_change.confirm,
    shown=lambda found: {"account": found[0], "email": found[1]},
    done="/recovery/done/email",
    refusals={EMAIL_TAKEN.code: "recovery/email_taken.html"},
)
_KEEP_EMAIL: Final = ButtonLink[Account](
    kind="cancel",
    template="recovery/email_cancel.html",
    look=lambda runtime: runtime.email_change.look_back,
    act=lambda runtime: runtime.email_change.cancel,
    shown=lambda account: {"account": account},
    done="/recovery/done/cancelled",
)
_KEEP_FACTORS: Final = ButtonLink[Account](
    kind="factors",
    template="recovery/factors_cancel.html",
    look=lambda runtime: runtime.factor_resets.look,
    act=lambda runtime: runtime.factor_resets.stop,
    shown=lambda account: {"account": account},
    done="/recovery/done/kept",
)


@pages.get("/password")
async def show_request(request: Request, runtime: Running) -> HTMLResponse:
    """Ask whose password is forgotten."""
    return with_form(request, runtime, "recovery/ask.html", name="")


@pages.post("/password")
async def ask(request: Request, form: Form, runtime: Running, caller: From, now: Now) -> Response:
    """Take the request; the answer is the same for every name."""
    name = form.text("username").strip()[:MAX_NAME]
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
    """Ask for the new password."""
    return await _RESET.show(request, runtime, token, now=now)


@pages.post("/password/{token}")
async def reset(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Set the password; who needs a second factor needs it at the next sign-in, too."""
    return await _RESET.take(request, form, runtime, token, caller, now=now)


@pages.get("/email/cancel/{token}")
async def show_cancel(token: str, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Offer to stop a change of the address."""
    return await _KEEP_EMAIL.show(request, runtime, token, now=now)


@pages.post("/email/cancel/{token}")
async def cancel(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Stop the change."""
    return await _KEEP_EMAIL.press(request, form, runtime, token, caller, now=now)


@pages.get("/factors/cancel/{token}")
async def show_factor_reset(
    token: str, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Offer to stop a reset of the account's factors."""
    return await _KEEP_FACTORS.show(request, runtime, token, now=now)


@pages.post("/factors/cancel/{token}")
async def stop_factor_reset(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Stop the reset."""
    return await _KEEP_FACTORS.press(request, form, runtime, token, caller, now=now)


@pages.get("/email/{token}")
async def show_confirmation(
    token: str, request: Request, runtime: Running, now: Now
) -> HTMLResponse:
    """Offer to put the new address in force."""
    return await _CONFIRM_EMAIL.show(request, runtime, token, now=now)


@pages.post("/email/{token}")
async def confirm(
    token: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Put the new address in force."""
    return await _CONFIRM_EMAIL.press(request, form, runtime, token, caller, now=now)
