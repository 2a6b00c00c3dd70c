"""``/reauthenticate``: the page that asks once more, before something that matters."""

import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.core.principal import User
from twinlock.flows.outcomes import Denied, Offered, SignedIn, Throttled
from twinlock.flows.reauthentication import PASSWORD, PasswordCounted, ReauthenticationBegun
from twinlock.pages import credentials
from twinlock.pages.forms import Form
from twinlock.pages.paths import HOME, own_path, with_query
from twinlock.pages.replies import denied, minutes, see_other, throttled, with_session
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page, safe_methods
from twinlock.pages.texts import mark
from twinlock.pages.visitor import Acting, Looking, SeeOtherError, Visitor
from twinlock.web.deps import From, Now, Running
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/reauthenticate")

_MAX_ANSWER: Final = 16_385
_MAX_HANDLE: Final = 128
_ABOUT_TO: Final = (
    (re.compile("/account/password"), mark("You are about to change your password.")),
    (re.compile("/account/email"), mark("You are about to change your e-mail address.")),
    (re.compile("/factors/new"), mark("You are about to add an authenticator.")),
    (re.compile("/factors/recovery_codes"), mark("You are about to make new recovery codes.")),
    (re.compile("/factors/[^/]+/remove"), mark("You are about to remove an authenticator.")),
    (re.compile("/admin(/.*)?"), mark("You are about to use the administration.")),
)
"""What the page behind the proof is for, by its path."""


@pages.get("")
async def show_question(
    visitor: Looking, request: Request, runtime: Running, caller: From, now: Now
) -> HTMLResponse:
    """Begin, and ask for what the account can prove again."""
    begun = await runtime.workers.run(
        runtime.reauthentication.begin, visitor.user, None, caller, now=now
    )
    if not isinstance(begun, ReauthenticationBegun):
        raise SeeOtherError(f"{runtime.prefix}/login")
    offered = [one.method for one in begun.methods]
    methods = [PASSWORD] if PASSWORD in offered else safe_methods(offered)
    wanted = request.query_params.get("method", "")
    method = wanted if wanted in methods else next(iter(methods), PASSWORD)
    there = own_path(request.query_params.get("next"))
    options = next((one.options for one in begun.methods if one.method == method), None)
    return _question(
        request, visitor, runtime, method, begun.handle, there, methods, options=options
    )


@pages.post("/{method}")
async def answer(
    method: str,
    visitor: Acting,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    now: Now,
) -> Response:
    """Check the answer; the session goes on under a new cookie."""
    there = own_path(form.text("next"))
    handle = form.text("reauthentication")[:_MAX_HANDLE]
    typed = form.text("answer")[:_MAX_ANSWER]
    answered = credentials.credential_in(form) if method == credentials.METHOD else typed
    if method == PASSWORD:
        outcome = await _by_password(runtime, visitor, handle, typed, caller, now)
    else:
        outcome = await runtime.workers.run(
            runtime.reauthentication.submit_answer,
            visitor.user,
            handle,
            method,
            answered,
            caller,
            cookie=visitor.cookie,
            now=now,
        )
    if isinstance(outcome, SignedIn):
        return with_session(runtime, see_other(there or runtime.prefix + HOME), outcome)
    methods = [PASSWORD] if method == PASSWORD else safe_methods(form.text("methods").split("."))
    shown = method if method in {PASSWORD, *safe_methods([method])} else PASSWORD
    response = _question(
        request,
        visitor,
        runtime,
        shown,
        handle,
        there,
        methods,
        status=429 if isinstance(outcome, Throttled) else 401,
        error="denied",
    )
    return throttled(response, outcome) if isinstance(outcome, Throttled) else denied(response)


@pages.post("/{method}/send")
async def send_code(
    method: str,
    visitor: Acting,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    now: Now,
) -> Response:
    """Mail a code, which voids the one before."""
    there = own_path(form.text("next"))
    handle = form.text("reauthentication")[:_MAX_HANDLE]
    methods = safe_methods(form.text("methods").split("."))
    if method not in methods:
        raise SeeOtherError(with_query(f"{runtime.prefix}/reauthenticate", next=there))
    sent = await runtime.workers.run(
        runtime.reauthentication.begin_again, visitor.user, handle, method, caller, now=now
    )
    match sent:
        case Offered(options=options):
            return _question(
                request, visitor, runtime, method, handle, there, methods, options=options
            )
        case Throttled() as wait:
            shown = _question(
                request,
                visitor,
                runtime,
                method,
                handle,
                there,
                methods,
                status=429,
                error="wait",
                wait=minutes(wait),
            )
            return throttled(shown, wait)
        case Denied():
            raise SeeOtherError(with_query(f"{runtime.prefix}/reauthenticate", next=there))


async def _by_password(
    runtime: Runtime, visitor: Visitor, handle: str, password: str, caller: From, now: Now
) -> SignedIn | Denied | Throttled:
    user: User = visitor.user
    counted = await runtime.workers.run(
        runtime.reauthentication.count_password, user, handle, caller, now=now
    )
    if not isinstance(counted, PasswordCounted):
        return counted
    checked = await runtime.hash_pool.run(
        runtime.password_check.check, counted.account, user.username, password, now=now
    )
    return await runtime.workers.run(
        runtime.reauthentication.finish_password,
        user,
        counted,
        checked,
        caller,
        cookie=visitor.cookie,
        now=now,
    )


def _about_to(runtime: Runtime, there: str | None) -> str:
    """Return what the proof is asked for; empty where that is not known."""
    path = (there or "").partition("?")[0].removeprefix(runtime.prefix)
    return next((words for known, words in _ABOUT_TO if known.fullmatch(path)), "")


def _question(
    request: Request,
    visitor: Visitor,
    runtime: Runtime,
    method: str,
    handle: str,
    there: str | None,
    methods: list[str],
    *,
    status: int = 200,
    error: str | None = None,
    options: Mapping[str, Any] | None = None,
    wait: int = 0,
) -> HTMLResponse:
    start = f"{runtime.prefix}/reauthenticate"
    fields: dict[str, Any] = {
        "method": method,
        "options": credentials.written(options),
        "handle": handle,
        "sent_to": (options or {}).get("sent_to", ""),
        "minutes": wait,
        "methods": ".".join(methods),
        "next": there or "",
        "about_to": _about_to(runtime, there),
        "again": with_query(start, next=there),
        "ways": [
            {"method": other, "path": with_query(start, method=other, next=there)}
            for other in methods
            if other != method
        ],
    }
    return page(
        request,
        "reauthenticate/question.html",
        status=status,
        visitor=visitor,
        error=error,
        **fields,
    )
