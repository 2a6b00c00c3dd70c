"""``/factors``: adding, renaming and removing an authenticator."""

from hmac import compare_digest
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.totp.otpauth import Parsed, encode_secret, parse_uri, qr_svg
from twinlock.flows.enrolling import (
    CLOCK_DRIFT,
    ENROLLMENT_OVER,
    WRONG_ANSWER,
    EnrollmentBegun,
)
from twinlock.flows.factors import FactorList, FactorsChanged
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, StepUpRequired
from twinlock.pages import passkey
from twinlock.pages.forms import Form
from twinlock.pages.recovery_codes import codes_page
from twinlock.pages.replies import home, with_session
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
_MAX_URI: Final = 4096


@pages.get("/new")
async def choose(visitor: Looking, request: Request, runtime: Running) -> HTMLResponse:
    """Offer the kinds of authenticator; a fresh proof is asked for before, not after."""
    found = await _own(runtime, visitor)
    require_fresh(runtime, visitor, _CHOOSE, has_factor=bool(found.authenticators))
    has_passkeys = runtime.parts.factors.get(passkey.METHOD) is not None
    return page(request, "factors/choose.html", visitor=visitor, has_passkeys=has_passkeys)


@pages.post("/{method}")
async def begin(
    method: str, visitor: Acting, request: Request, runtime: Running, caller: From, now: Now
) -> Response:
    """Begin: a key is shown as a square and as text, a passkey is made by the browser."""
    if method not in {"totp", passkey.METHOD}:
        raise _missing()
    begun = await runtime.workers.run(
        runtime.own_enrollment.begin, visitor.user, method, caller, now=now
    )
    match begun:
        case EnrollmentBegun() if method == passkey.METHOD:
            return page(
                request,
                "factors/passkey.html",
                visitor=visitor,
                enrollment=begun.handle,
                options=passkey.written(begun.options),
            )
        case EnrollmentBegun():
            uri = str(begun.options["uri"])
            return _key_page(request, runtime, visitor, begun.handle, uri)
        case StepUpRequired():
            raise prove_again(runtime, _CHOOSE)
        case Refused(code=code):
            return page(request, "factors/refused.html", status=400, visitor=visitor, code=code)
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
    handle, uri = form.text("enrollment")[:128], form.text("uri")[:_MAX_URI]
    label = form.line("label", max_length=_MAX_LABEL)
    is_passkey = method == passkey.METHOD
    done = await runtime.workers.run(
        runtime.own_enrollment.finish,
        visitor.user,
        method,
        handle,
        passkey.credential_in(form) if is_passkey else form.text("answer")[:1024],
        label or ("Passkey" if is_passkey else "Authenticator app"),
        caller,
        transport=Transport.COOKIE,
        now=now,
    )
    match done:
        case FactorsChanged(recovery_codes=()):
            return with_session(runtime, home(runtime, note="added"), done.signed_in)
        case FactorsChanged():
            shown = codes_page(request, runtime, visitor, done, now=now)
            return with_session(runtime, shown, done.signed_in)
        case StepUpRequired():
            raise prove_again(runtime, _CHOOSE)
        case Refused(code=code) if code in {WRONG_ANSWER.code, CLOCK_DRIFT.code}:
            if is_passkey or not _is_ours(runtime, visitor, handle, uri, form.text("shown")):
                return _over(request, visitor)
            return _key_page(
                request, runtime, visitor, handle, uri, status=400, error=code, label=label
            )
        case Refused(code=code) if code == ENROLLMENT_OVER.code:
            return _over(request, visitor)
        case Refused(code=code):
            return page(request, "factors/refused.html", status=400, visitor=visitor, code=code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


@pages.get("/{factor_id}/rename")
async def show_rename(
    factor_id: str, visitor: Looking, request: Request, runtime: Running
) -> HTMLResponse:
    """Ask for another name."""
    one = _one(await _own(runtime, visitor), factor_id)
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
            return page(request, "factors/refused.html", status=400, visitor=visitor, code=code)
        case Denied():
            raise SeeOtherError(f"{runtime.prefix}/login")


def _key_page(
    request: Request,
    runtime: Runtime,
    visitor: Visitor,
    handle: str,
    uri: str,
    *,
    status: int = 200,
    error: str | None = None,
    label: str = "",
) -> Response:
    parsed = parse_uri(uri)
    if not isinstance(parsed, Parsed):
        return _over(request, visitor)
    key = encode_secret(parsed.key)
    shown: dict[str, Any] = {
        "enrollment": handle,
        "uri": uri,
        "shown": _shown(runtime, visitor, handle, uri),
        "key": " ".join(key[at : at + 4] for at in range(0, len(key), 4)),
        "qr": Markup(qr_svg(uri)),  # noqa: S704 - drawn here, from squares alone
        "label": label,
    }
    return page(
        request,
        "factors/totp.html",
        status=status,
        visitor=visitor,
        error=error,
        wide=True,
        **shown,
    )


def _over(request: Request, visitor: Visitor) -> HTMLResponse:
    return page(request, "factors/over.html", status=400, visitor=visitor)


def _shown(runtime: Runtime, visitor: Visitor, handle: str, uri: str) -> str:
    """Return what proves that this key was shown here: nobody makes us show another one."""
    return runtime.parts.digest_key.digest("shown-key", visitor.user.id, handle, uri).hex()


def _is_ours(runtime: Runtime, visitor: Visitor, handle: str, uri: str, claimed: str) -> bool:
    expected = _shown(runtime, visitor, handle, uri)
    return compare_digest(claimed.encode("utf-8", "replace"), expected.encode())


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
