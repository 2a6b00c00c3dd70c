"""``/login``: the password, and the pages that ask for the second factor."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote, unquote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.flows.admission import Request as LoginRequest
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    Offered,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.pages import cookies, credentials
from twinlock.pages.enrollment import lead_there
from twinlock.pages.forms import Form, form_secret, form_token, has_form_token
from twinlock.pages.forms import keep_form_secret as keep
from twinlock.pages.paths import HOME, own_path, with_query
from twinlock.pages.replies import denied, let_in, minutes, see_other, throttled
from twinlock.pages.routes import page_router
from twinlock.pages.shown import codes_left_note, page, safe_methods
from twinlock.pages.sign_in import sign_in_page
from twinlock.pages.visitor import signed_in
from twinlock.pages.waiting import waiting_handles
from twinlock.web.deps import From, Now, Running, TrustedDevice
from twinlock.web.password_step import Submitted, submit_password
from twinlock.web.runtime import Runtime, runtime_of

pages = page_router(prefix="/login")

MAILED: Final = "email_code"
METHODS: Final = {
    "passkey": "login/passkey.html",
    "totp": "login/totp.html",
    MAILED: "login/email_code.html",
    "recovery_codes": "login/recovery_codes.html",
}
"""The page of each method; a factor brings its own."""

_MAX_NAME: Final = 1024
_MAX_PASSWORD: Final = 16_384
_MAX_ANSWER: Final = 1024
_MAX_SHOWN: Final = 64
"""Characters of a name that fit into a cookie in any script."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A login whose password was right, as the browser's cookie has it.

    Attributes:
        methods: By what it may be answered; only for the links between the pages.
        denials: After as many as the login allows, there is nothing left to answer.
        sent_to: Where a mailed code went, as its owner knows it again; empty before one was sent.
        remembers: Whether it was asked with the password that this device be remembered; asked
            again with the second factor, whose answer counts.
        name: Whose it is, as the authenticator app has it.
    """

    handle: str = field(repr=False)
    methods: tuple[str, ...]
    denials: int = 0
    sent_to: str = ""
    remembers: bool = False
    name: str = field(default="", repr=False)

    @classmethod
    def of(cls, request: Request) -> "Begun | None":
        """Return the login that this browser has begun; None where it has run out."""
        parts = (cookies.read(request, cookies.LOGIN) or "").split("~")
        if len(parts) != 6 or not parts[2].isdecimal():
            return None
        methods = tuple(safe_methods(parts[1].split(".")))
        sent_to, name = unquote(parts[3]), unquote(parts[5])
        return cls(parts[0], methods, int(parts[2][:2]), sent_to, parts[4] == "yes", name)

    def keep(self, response: Response, runtime: Runtime) -> Response:
        """Let the browser go on with it, for as long as a login may wait."""
        sent_to, name = _in_cookie(self.sent_to), _in_cookie(self.name[:_MAX_SHOWN])
        remembers = "yes" if self.remembers else ""
        known = (self.handle, ".".join(self.methods), self.denials, sent_to, remembers, name)
        value = "~".join(map(str, known))
        cookies.give(response, cookies.LOGIN, value, max_age=runtime.parts.lifetimes.pending_login)
        return response


@pages.get("")
async def show_sign_in(request: Request, runtime: Running, now: Now) -> Response:
    """Ask for the password; whoever is signed in is there already."""
    there = own_path(request.query_params.get("next"))
    if await signed_in(request) is not None:
        return see_other(there or runtime.prefix + HOME)
    return await sign_in_page(request, runtime, there, now=now)


@pages.post("")
async def sign_in(
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    device: TrustedDevice,
    now: Now,
) -> Response:
    """Check the password."""
    there = own_path(form.text("next"))
    name = form.text("username")[:_MAX_NAME]
    remembers = form.text("trust_device") == "yes"
    again = partial(sign_in_page, request, runtime, there, now=now, name=name, remembers=remembers)
    if not has_form_token(request, form):
        return await again(status=403, error="stale")
    submitted = Submitted(name, form.text("password")[: _MAX_PASSWORD + 1])
    asked = LoginRequest(caller, Transport.COOKIE, may_enroll=True, device=device)
    match await submit_password(runtime, submitted, asked, now=now):
        case SignedIn() as done:
            return await let_in(request, runtime, done, there)
        case SecondFactorRequired() as required:
            return _second_step(runtime, required, there, remembers=remembers)
        case Throttled() as wait:
            shown = await again(status=429, error="wait", minutes=minutes(wait))
            return throttled(shown, wait)
        case EnrollmentRequired() as required:
            return lead_there(request, runtime, required, there)
        case Denied():
            return denied(await again(status=401, error="denied"))


@pages.get("/help")
async def show_help(request: Request, runtime: Running) -> HTMLResponse:
    """Say what to do without a password or any second factor; nothing is reset from here."""
    begun = Begun.of(request)
    return page(
        request,
        "login/help.html",
        can_recover=runtime.parts.mail is not None,
        back=f"/login/{begun.methods[0]}" if begun is not None and begun.methods else None,
        way_out="login" if waiting_handles(request) else "",
    )


@pages.get("/{method}")
async def show_second_factor(
    method: str, request: Request, runtime: Running, caller: From, now: Now
) -> Response:
    """Ask for the second factor."""
    begun = Begun.of(request)
    there = own_path(request.query_params.get("next"))
    if begun is None or method not in begun.methods or method not in METHODS:
        return _run_out(request, there)
    if method != credentials.METHOD:
        return _answer_page(request, runtime, begun, method, there)
    offered = await runtime.workers.run(
        runtime.answering.begin_again, begun.handle, method, caller, now=now
    )
    if not isinstance(offered, Offered):
        return _run_out(request, there)
    note = cookies.read(request, cookies.NOTE)
    error = "denied" if note == "passkey_denied" else None
    return _answer_page(
        request, runtime, begun, method, there, error=error, options=offered.options
    )


@pages.post("/{method}")
async def answer(
    method: str,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    device: TrustedDevice,
    now: Now,
) -> Response:
    """Check an answer of the second factor."""
    begun = Begun.of(request)
    there = own_path(form.text("next"))
    if begun is None or method not in METHODS:
        return _run_out(request, there)
    begun = replace(begun, remembers=form.text("trust_device") == "yes")
    if not has_form_token(request, form):
        return _answer_page(request, runtime, begun, method, there, status=403, error="stale")
    asked = LoginRequest(
        caller, Transport.COOKIE, may_enroll=True, device=device, trust_device=begun.remembers
    )
    is_passkey = method == credentials.METHOD
    typed = credentials.credential_in(form) if is_passkey else form.text("answer")[:_MAX_ANSWER]
    outcome = await runtime.workers.run(
        runtime.answering.submit_answer, begun.handle, method, typed, asked, now=now
    )
    match outcome:
        case SignedIn() as done:
            note = await _note_of(runtime, method, done)
            return await let_in(request, runtime, done, there, note=note)
        case Throttled() as wait:
            return await _throttled_answer(
                request, runtime, begun, method, there, wait, caller, now
            )
        case EnrollmentRequired() as required:
            return lead_there(request, runtime, required, there)
        case Denied():
            return _denied_answer(request, runtime, begun, method, there)


@pages.post("/{method}/send")
async def send_code(
    method: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Mail a code, which voids the one before."""
    begun = Begun.of(request)
    there = own_path(form.text("next"))
    if begun is None or method != MAILED or method not in begun.methods:
        return _run_out(request, there)
    if not has_form_token(request, form):
        return _answer_page(request, runtime, begun, method, there, status=403, error="stale")
    sent = await runtime.workers.run(
        runtime.answering.begin_again, begun.handle, method, caller, now=now
    )
    match sent:
        case Offered(options=options):
            begun = replace(begun, sent_to=str((options or {}).get("sent_to", "")))
            again = with_query(f"{runtime.prefix}/login/{method}", next=there)
            return begun.keep(see_other(again), runtime)
        case Throttled() as wait:
            shown = _answer_page(
                request,
                runtime,
                begun,
                method,
                there,
                status=429,
                error="wait",
                wait=minutes(wait),
            )
            return throttled(shown, wait)
        case Denied():
            return denied(_run_out(request, there, status=401))


async def _note_of(runtime: Runtime, method: str, done: SignedIn) -> str | None:
    """Return what to say of a sign-in: who used up a recovery code hears how many are left."""
    if method != runtime.parts.recovery_codes.method:
        return None
    left = await runtime.workers.run(runtime.factors.recovery_codes_left, done.context.account)
    return codes_left_note(left)


def _in_cookie(text: str) -> str:
    return quote(text, safe="@").replace("~", "%7E")


def _second_step(
    runtime: Runtime, required: SecondFactorRequired, there: str | None, *, remembers: bool
) -> Response:
    methods = safe_methods([offered.method for offered in required.methods])
    begun = Begun(required.handle, tuple(methods), remembers=remembers, name=required.username)
    first = methods[0] if methods else "none"
    response = see_other(with_query(f"{runtime.prefix}/login/{first}", next=there))
    return begun.keep(response, runtime)


def _denied_answer(
    request: Request, runtime: Runtime, begun: Begun, method: str, there: str | None
) -> Response:
    if method == credentials.METHOD:  # a new challenge is asked for, by the page that follows
        path = with_query(f"{runtime.prefix}/login/{method}", next=there)
        return see_other(path, note="passkey_denied")
    after = replace(begun, denials=begun.denials + 1)
    if after.denials >= runtime.parts.lifetimes.max_answers:
        return denied(_run_out(request, there, status=401))
    shown = _answer_page(request, runtime, begun, method, there, status=401, error="denied")
    return denied(after.keep(shown, runtime))


async def _throttled_answer(
    request: Request,
    runtime: Runtime,
    begun: Begun,
    method: str,
    there: str | None,
    wait: Throttled,
    caller: From,
    now: datetime,
) -> Response:
    """Show the page again, in the words of a wrong answer; a passkey needs another challenge."""
    options = None
    if method == credentials.METHOD:
        fresh = await runtime.workers.run(
            runtime.answering.begin_again, begun.handle, method, caller, now=now
        )
        if not isinstance(fresh, Offered):
            return throttled(_run_out(request, there, status=429), wait)
        options = fresh.options
    again = _answer_page(
        request, runtime, begun, method, there, status=429, error="denied", options=options
    )
    return throttled(again, wait)


def _answer_page(
    request: Request,
    runtime: Runtime,
    begun: Begun,
    method: str,
    there: str | None,
    *,
    status: int = 200,
    error: str | None = None,
    options: Mapping[str, Any] | None = None,
    wait: int = 0,
) -> HTMLResponse:
    secret = form_secret(request)
    response = page(
        request,
        METHODS[method],
        status=status,
        csrf=form_token(runtime, secret),
        action=f"{runtime.prefix}/login/{method}",
        options=credentials.written(options),
        done=None,
        next=there or "",
        error=error,
        can_remember=True,
        remembers=begun.remembers,
        sent_to=begun.sent_to,
        name=begun.name,
        lasts=int(runtime.parts.lifetimes.email_code.total_seconds() // 60),
        minutes=wait,
        again=with_query(f"{runtime.prefix}/login", next=there),
        ways=[
            {"method": other, "path": with_query(f"{runtime.prefix}/login/{other}", next=there)}
            for other in begun.methods
            if other != method
        ],
    )
    keep(response, secret)
    return response


def _run_out(request: Request, there: str | None, *, status: int = 200) -> HTMLResponse:
    again = with_query(f"{runtime_of(request).prefix}/login", next=there)
    response = page(request, "login/run_out.html", status=status, again=again)
    cookies.forget(response, cookies.LOGIN)
    return response
