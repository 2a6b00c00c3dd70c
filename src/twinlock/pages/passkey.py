"""``/passkey``: signing in with a passkey alone."""

from typing import Final

from fastapi import Request, Response

from twinlock.flows.admission import Request as LoginRequest
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, SignedIn, Throttled
from twinlock.pages.credentials import credential_in
from twinlock.pages.forms import Form, has_form_token
from twinlock.pages.paths import own_path, with_query
from twinlock.pages.replies import let_in, minutes, see_other, throttled
from twinlock.pages.routes import page_router
from twinlock.pages.sign_in import remember_passkey, sign_in_page
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/passkey")

_MAX_HANDLE: Final = 1024


@pages.post("")
async def sign_in(
    request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Check the answer of a passkey; whatever is wrong with it has one answer."""
    there = own_path(form.text("next"))
    again = see_other(with_query(f"{runtime.prefix}/login", next=there), note="passkey_denied")
    if not has_form_token(request, form):
        return again
    outcome = await runtime.workers.run(
        runtime.passkey_login.finish,
        form.text("login")[:_MAX_HANDLE],
        credential_in(form),
        LoginRequest(caller, Transport.COOKIE),
        now=now,
    )
    match outcome:
        case SignedIn() as done:
            return remember_passkey(await let_in(request, runtime, done, there))
        case Throttled() as wait:
            shown = await sign_in_page(
                request,
                runtime,
                there,
                now=now,
                status=429,
                error="wait",
                minutes=minutes(wait),
            )
            return throttled(shown, wait)
        case Denied():
            return again
