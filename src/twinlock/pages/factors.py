"""``/factors``: adding, renaming and removing an authenticator."""

from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from twinlock.factors.authenticators.store import Authenticator
from twinlock.flows.enrolling import (
    CLOCK_DRIFT,
    ENROLLMENT_OVER,
    WRONG_ANSWER,
    EnrollmentBegun,
)
from twinlock.flows.factors import FactorList, FactorsChanged
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, StepUpRequired
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
from twinlock.pages.forms import Form
from twinlock.pages.paths import HOME, own_path, with_query
from twinlock.pages.replies import home, see_other, with_session
from twinlock.pages.routes import page_router
from twinlock.pages.shown import page
from twinlock.pages.visitor import (
    Acting,
    Looking,
    SeeOtherError,
    Visitor,
    prove_again,
    require_fresh,
)
from twinlock.web.deps import From, Now, Running
from twinlock.web.problems import ProblemError
from twinlock.web.runtime import Runtime

pages = page_router(prefix="/factors")

_CHOOSE: Final = "/factors/new"
_MAX_LABEL: Final = 64


@pages.get("/new")
async def choose(visitor: Looking, request: Request, runtime: Running, now: Now) -> HTMLResponse:
    """Offer the kinds of authenticator; a fresh proof is asked for before, not after."""
    there = own_path(request.query_params.get("next"))
    found = await _own(runtime, visitor)
    back = with_query(_CHOOSE, next=there)
    require_fresh(runtime, visitor, back, has_factor=bool(found.authenticators))
    ahead = await runtime.workers.run(runtime.security.look_ahead, visitor.user, now=now)
    place = _place(runtime, visitor, there)
    return choose_page(request, place, ahead.methods, due=ahead.due, visitor=visitor)


@pages.post("/{method}")
async def begin(
    method: str,
    visitor: Acting,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    now: Now,
) -> Response:
    """Begin: a key is shown as a square and as text, a passkey is made by the browser."""
    if method not in METHODS:
        raise _missing()
    place = _place(runtime, visitor, own_path(form.text("next")))
    begun = await runtime.workers.run(
        runtime.own_enrollment.begin, visitor.user, method, caller, now=now
    )
    match begun:
        case EnrollmentBegun():
            return begun_page(request, runtime, place, method, begun)
        case StepUpRequired():
            raise prove_again(runtime, _CHOOSE)
        case Refused(code=code):
            return refused_page(request, place, code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


@pages.post("/{method}/confirm")
async def confirm(
    method: str,
    visitor: Acting,
    request: Request,
    form: Form,
    runtime: Running,
    caller: From,
    now: Now,
) -> Response:
    """Check the code of the new authenticator; with the first one come recovery codes."""
    there = own_path(form.text("next"))
    place = _place(runtime, visitor, there)
    typed = Typed.of(form, method)
    done = await runtime.workers.run(
        runtime.own_enrollment.finish,
        visitor.user,
        method,
        typed.handle,
        typed.answer,
        typed.label,
        caller,
        transport=Transport.COOKIE,
        now=now,
    )
    match done:
        case FactorsChanged(recovery_codes=()):
            on = see_other(there, note="added") if there else home(runtime, note="added")
            return with_session(runtime, on, done.signed_in)
        case FactorsChanged(recovery_codes=codes):
            name = visitor.user.username
            shown = codes_page(request, runtime, name, codes, there, now=now)
            return with_session(runtime, shown, done.signed_in)
        case StepUpRequired():
            raise prove_again(runtime, _CHOOSE)
        case Refused(code=code) if code in {WRONG_ANSWER.code, CLOCK_DRIFT.code}:
            return again_page(request, runtime, place, method, typed, code)
        case Refused(code=code) if code == ENROLLMENT_OVER.code:
            return over_page(request, place, method)
        case Refused(code=code):
            return refused_page(request, place, code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


@pages.get("/{factor_id}/rename")
async def show_rename(
    factor_id: str, visitor: Looking, request: Request, runtime: Running
) -> HTMLResponse:
    """Ask for another name."""
    one = _one(await _own(runtime, visitor), factor_id)
    require_fresh(runtime, visitor, f"/factors/{factor_id}/rename", has_factor=True)
    return page(request, "factors/rename.html", visitor=visitor, one=one, label=one.label)


@pages.post("/{factor_id}/rename")
async def rename(
    factor_id: str, visitor: Acting, form: Form, runtime: Running, caller: From, now: Now
) -> Response:
    """Give an authenticator another name; an empty one changes nothing."""
    label = form.line("label", max_length=_MAX_LABEL)
    if not label:
        raise SeeOtherError(f"{runtime.prefix}/factors/{factor_id}/rename")
    done = await runtime.workers.run(
        runtime.factors.rename, visitor.user, factor_id, label, caller, now=now
    )
    if isinstance(done, StepUpRequired):
        raise prove_again(runtime, f"/factors/{factor_id}/rename")
    if not isinstance(done, Authenticator):
        raise _missing()
    return home(runtime, note="renamed")


@pages.get("/{factor_id}/remove")
async def show_removal(
    factor_id: str, visitor: Looking, request: Request, runtime: Running
) -> HTMLResponse:
    """Say what follows from removing an authenticator."""
    found = await _own(runtime, visitor)
    one = _one(found, factor_id)
    require_fresh(runtime, visitor, f"/factors/{factor_id}/remove", has_factor=True)
    left = [other.label for other in found.authenticators if other.id != one.id]
    return page(request, "factors/remove.html", visitor=visitor, one=one, left=left)


@pages.post("/{factor_id}/remove")
async def remove(
    factor_id: str, visitor: Acting, request: Request, runtime: Running, caller: From, now: Now
) -> Response:
    """Remove an authenticator; every session ends, and this one is replaced."""
    done = await runtime.workers.run(
        runtime.factors.remove,
        visitor.user,
        factor_id,
        caller,
        transport=Transport.COOKIE,
        now=now,
    )
    match done:
        case FactorsChanged():
            return with_session(runtime, home(runtime, note="removed"), done.signed_in)
        case StepUpRequired():
            raise prove_again(runtime, f"/factors/{factor_id}/remove")
        case Refused(code="not_found"):
            raise _missing()
        case Refused(code=code):
            return refused_page(request, _place(runtime, visitor, None), code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


def _place(runtime: Runtime, visitor: Visitor, there: str | None) -> Place:
    return Place(
        owner=visitor.user.id,
        csrf=visitor.csrf,
        path=f"{runtime.prefix}/factors",
        again=with_query(runtime.prefix + _CHOOSE, next=there),
        leave=there or runtime.prefix + HOME,
        next=there,
    )


async def _own(runtime: Runtime, visitor: Visitor) -> FactorList:
    found = await runtime.workers.run(runtime.factors.list_factors, visitor.user)
    if not isinstance(found, FactorList):
        raise SeeOtherError(f"{runtime.prefix}/login")
    return found


def _one(found: FactorList, factor_id: str) -> Authenticator:
    one = next((one for one in found.authenticators if one.id == factor_id), None)
    if one is None:
        raise _missing()
    return one


def _missing() -> ProblemError:
    return ProblemError(404, "not_found", "There is no such authenticator.")
