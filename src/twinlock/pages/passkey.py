"""``/passkey``: signing in with a passkey alone; and what passkey pages have in common."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response

from twinlock.flows.admission import Request as LoginRequest
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, SignedIn, Throttled
from twinlock.pages.forms import Fields, Form, has_form_token
from twinlock.pages.paths import own_path, with_query
from twinlock.pages.replies import let_in, see_other
from twinlock.pages.routes import page_router
from twinlock.web import strict_json
from twinlock.web.deps import From, Now, Running

pages = page_router(prefix="/passkey")

METHOD: Final = "passkey"
_MAX_HANDLE: Final = 1024


def credential_in(form: Fields) -> object:
    """Return the credential that a form carries; nothing that opens anything where it is none."""
    try:
        return strict_json.loads(form.text("answer").encode())
    except ValueError:
        return ""


def written(options: Mapping[str, Any] | None) -> str:
    """Return options as a page holds them for its module; empty where there are none."""
    return json.dumps(options) if options else ""


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
            return await let_in(request, runtime, done, there)
        case Throttled() | Denied():
            return again
