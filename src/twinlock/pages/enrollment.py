"""``/enrollment``: a login that opens nothing before a second factor is set up."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.core.secrets import digest
from twinlock.flows.enrolling import (
    CLOCK_DRIFT,
    ENROLLMENT_OVER,
    WRONG_ANSWER,
    EnrollmentBegun,
)
from twinlock.flows.enrollment import LINK_REQUIRED, EnrolledAndSignedIn, EnrollmentAsked
from twinlock.flows.first_password import Welcomed
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, EnrollmentRequired, IssuedCookie, Refused
from twinlock.pages import cookies
from twinlock.pages.enrolling import (
    METHODS,
    Place,
    Typed,
    again_page,
    begun_page,
    choose_page,
    codes_page,
    over_page,
    refused_page,
)
from twinlock.pages.forms import Form, form_secret, form_token, has_form_token, keep_form_secret
from twinlock.pages.paths import HOME, own_path, with_query
from twinlock.pages.replies import denied, see_other, with_session
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page, pages_of
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/enrollment")

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
"""What a link's token is made of; anything else is none, and would not fit into a cookie."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A login that waits for an enrollment, as the browser's cookie has it.

    Attributes:
        methods: What may be enrolled; only for what is offered.
        needs_link: Whether the factors were reset, so that the reset's link is asked for.
        is_forced: Whether nothing opens without one.
    """

    handle: str = field(repr=False)
    methods: tuple[str, ...]
    needs_link: bool
    is_forced: bool

    @classmethod
    def of(cls, request: Request) -> "Waiting | None":
        """Return the login that this browser has begun; None where it has run out."""
        parts = (cookies.read(request, cookies.ENROLLMENT) or "").split("~")
        if len(parts) != 3:
            return None
        return cls(parts[0], tuple(parts[1].split(".")), parts[2] == "link", parts[2] != "free")


def lead_there(
    request: Request,
    runtime: Runtime,
    required: EnrollmentRequired,
    there: str | None,
    *,
    is_forced: bool = True,
) -> Response:
    """Lead a login whose password was right to the page that sets up the second factor.

    Args:
        is_forced: Whether nothing opens without one; else signing in would do.
    """
    if required.handle is None:
        return page(request, "login/enrollment_required.html", status=403)
    needs = "link" if required.needs_link else "none" if is_forced else "free"
    response = see_other(with_query(f"{runtime.prefix}/enrollment", next=there))
    value = f"{required.handle}~{'.'.join(required.methods)}~{needs}"
    cookies.give(response, cookies.ENROLLMENT, value, max_age=required.expires_in)
    cookies.forget(response, cookies.LOGIN)
    return response


def lead_welcomed(request: Request, runtime: Runtime, welcomed: Welcomed) -> Response:
    """Lead whoever has just set a first password to the page that sets up the second factor."""
    return lead_there(request, runtime, welcomed.login, None, is_forced=welcomed.is_demanded)


@pages.get("")
async def choose(request: Request, runtime: Running, now: Now) -> Response:
    """Offer what may be set up; after a reset, ask for the reset's link first."""
    there = own_path(request.query_params.get("next"))
    waiting = Waiting.of(request)
    if waiting is None:
        return _run_out(request, runtime, there)
    if waiting.needs_link and cookies.read(request, cookies.RESET) is None:
        return _link_page(request, runtime, there)
    asked = await runtime.workers.run(runtime.enrollment.look, waiting.handle, now=now)
    if isinstance(asked, Denied):
        return _run_out(request, runtime, there)
    return _with_secret(request, runtime, waiting, there, asked)


@pages.get("/link/{token}")
async def keep_link(token: str, request: Request, runtime: Running) -> Response:
    """Keep the link of a reset in this browser; it opens nothing without the password."""
    is_waiting = Waiting.of(request) is not None
    on = f"{runtime.prefix}/{'enrollment' if is_waiting else 'login'}"
    if not _TOKEN.fullmatch(token):
        return see_other(on)
    return _kept(see_other(on, note=None if is_waiting else "link_kept"), runtime, token)


@pages.post("/link")
async def take_link(request: Request, form: Form, runtime: Running) -> Response:
    """Take the token of a reset's link as it was typed, or the whole link."""
    there = own_path(form.text("next"))
    token = form.text("token").strip().rpartition("/")[2]
    if not has_form_token(request, form) or not _TOKEN.fullmatch(token):
        return _link_page(request, runtime, there, status=400, error="link_refused")
    return _kept(see_other(with_query(f"{runtime.prefix}/enrollment", next=there)), runtime, token)


@pages.post("/{method}")
async def begin(
    method: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Begin: a key is shown, or the browser makes a passkey."""
    there = own_path(form.text("next"))
    waiting = _of_form(request, form, method)
    if waiting is None:
        return _run_out(request, runtime, there)
    link = cookies.read(request, cookies.RESET)
    begun = await runtime.workers.run(
        runtime.enrollment.begin, waiting.handle, method, link, caller, now=now
    )
    place = _place(request, runtime, waiting, there)
    match begun:
        case EnrollmentBegun():
            return begun_page(request, runtime, place, method, begun)
        case Refused(code=code) if code == LINK_REQUIRED.code:
            return _link_page(request, runtime, there)
        case Refused(code=code):
            return refused_page(request, place, code)
        case Denied() if waiting.needs_link:
            return denied(_link_page(request, runtime, there, status=401, error="link_refused"))
        case Denied():
            return _run_out(request, runtime, there)


@pages.post("/{method}/confirm")
async def confirm(
    method: str, request: Request, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Check the new authenticator's answer: signed in, with recovery codes."""
    there = own_path(form.text("next"))
    waiting = _of_form(request, form, method)
    if waiting is None:
        return _run_out(request, runtime, there)
    typed = Typed.of(form, method)
    done = await runtime.workers.run(
        runtime.enrollment.finish,
        waiting.handle,
        method,
        typed.handle,
        typed.answer,
        typed.label,
        caller,
        transport=Transport.COOKIE,
        now=now,
    )
    place = _place(request, runtime, waiting, there)
    match done:
        case EnrolledAndSignedIn():
            return await _signed_in(request, runtime, done, there, now=now)
        case EnrollmentRequired():
            return lead_there(request, runtime, done, there)
        case Refused(code=code) if code in {WRONG_ANSWER.code, CLOCK_DRIFT.code}:
            return again_page(request, runtime, place, method, typed, code)
        case Refused(code=code) if code == ENROLLMENT_OVER.code:
            return over_page(request, place, method)
        case Refused(code=code):
            return refused_page(request, place, code)
        case Denied():
            return _run_out(request, runtime, there)


async def _signed_in(
    request: Request,
    runtime: Runtime,
    done: EnrolledAndSignedIn,
    there: str | None,
    *,
    now: datetime,
) -> Response:
    issued = done.signed_in.credentials
    user = (
        await runtime.sight.user_of_cookie(issued.secret)
        if isinstance(issued, IssuedCookie)
        else None
    )
    if user is not None and done.recovery_codes:
        codes = done.recovery_codes
        response: Response = codes_page(request, runtime, user.username, codes, there, now=now)
    else:
        response = see_other(there or runtime.prefix + HOME)
    cookies.forget(response, cookies.ENROLLMENT)
    cookies.forget(response, cookies.RESET)
    language = pages_of(request).language(request)
    await runtime.workers.run(
        runtime.account.learn_language, done.signed_in.context.account, language
    )
    return with_session(runtime, response, done.signed_in)


def _of_form(request: Request, form: Form, method: str) -> Waiting | None:
    """Return the login of a form of ours."""
    if method not in METHODS:
        raise ProblemError(404, "not_found", "There is no such method.")
    return Waiting.of(request) if has_form_token(request, form) else None


def _place(request: Request, runtime: Runtime, waiting: Waiting, there: str | None) -> Place:
    return Place(
        owner=digest(waiting.handle).hex(),
        csrf=form_token(runtime, form_secret(request)),
        path=f"{runtime.prefix}/enrollment",
        again=with_query(f"{runtime.prefix}/enrollment", next=there),
        leave=f"{runtime.prefix}/login{'/help' if waiting.is_forced else ''}",
        next=there,
        is_forced=waiting.is_forced,
        way_out="login",
    )


def _with_secret(
    request: Request,
    runtime: Runtime,
    waiting: Waiting,
    there: str | None,
    asked: EnrollmentAsked,
) -> HTMLResponse:
    secret = form_secret(request)
    place = _place(request, runtime, waiting, there)
    place = replace(place, csrf=form_token(runtime, secret))
    response = choose_page(request, place, waiting.methods, asked=asked)
    keep_form_secret(response, secret)
    return response


def _link_page(
    request: Request,
    runtime: Runtime,
    there: str | None,
    *,
    status: int = 200,
    error: str | None = None,
) -> HTMLResponse:
    secret = form_secret(request)
    response = page(
        request,
        "enrollment/link.html",
        status=status,
        csrf=form_token(runtime, secret),
        next=there or "",
        error=error,
        way_out="login" if Waiting.of(request) else "",
    )
    keep_form_secret(response, secret)
    cookies.forget(response, cookies.RESET)
    return response


def _kept(response: Response, runtime: Runtime, token: str) -> Response:
    lifetime = runtime.parts.lifetimes.enrollment_link
    cookies.give(response, cookies.RESET, token, max_age=lifetime)
    return response


def _run_out(request: Request, runtime: Runtime, there: str | None) -> HTMLResponse:
    again = with_query(f"{runtime.prefix}/login", next=there)
    response = page(request, "login/run_out.html", again=again)
    cookies.forget(response, cookies.ENROLLMENT)
    return response
