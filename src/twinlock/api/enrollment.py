"""``/api/enrollment``: enroll a first factor inside a login that waits for one."""

from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import HTTPConnection

from twinlock.api.bodies import Answer, Handle, Label, SignedInOut
from twinlock.api.factors import EnrollmentOut, FactorOut, FactorsChangedOut
from twinlock.api.login import EnrollmentRequiredOut, enrollment_required
from twinlock.api.responses import SIGN_IN_PROBLEMS, with_cookies
from twinlock.flows.enrolling import EnrollmentBegun
from twinlock.flows.enrollment import LINK_REQUIRED, EnrolledAndSignedIn
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, EnrollmentRequired
from twinlock.web.deps import OWN_SITE, From, Now, Running, refuse_cookie_to_guest
from twinlock.web.problems import login_denied, problem, refusal
from twinlock.web.routes import router

api = router(
    prefix="/enrollment", tags=["login"], dependencies=[OWN_SITE], responses=SIGN_IN_PROBLEMS
)


class BeginEnrollmentIn(BaseModel):
    """A login that waits for an enrollment; after a reset, the token of its link as well."""

    login: Handle
    token: Annotated[
        str | None,
        StringConstraints(max_length=128),
        Field(repr=False, description="Of the single-use link, where the factors were reset."),
    ] = None


class ConfirmEnrollmentIn(BaseModel):
    """The answer that confirms the enrollment and finishes the login."""

    login: Handle
    enrollment: Handle
    answer: Answer
    label: Label = "Authenticator app"
    transport: Transport = Transport.BEARER


@api.post("/{method}", response_model=EnrollmentOut)
async def begin_enrollment(
    method: str, body: BeginEnrollmentIn, runtime: Running, caller: From, now: Now
) -> EnrollmentOut | Response:
    """Begin to enroll a factor; nothing changes until it is confirmed."""
    begun = await runtime.workers.run(
        runtime.enrollment.begin, body.login, method, body.token, caller, now=now
    )
    if isinstance(begun, EnrollmentBegun):
        seconds = int(begun.expires_in.total_seconds())
        return EnrollmentOut(enrollment=begun.handle, expires_in=seconds, options=begun.options)
    if isinstance(begun, Denied):
        return login_denied()
    if begun is LINK_REQUIRED:
        return problem(403, begun.code, begun.message)
    return refusal(begun)


@api.post("/{method}/confirm", response_model=FactorsChangedOut | EnrollmentRequiredOut)
async def confirm_enrollment(
    method: str,
    http: HTTPConnection,
    body: ConfirmEnrollmentIn,
    runtime: Running,
    caller: From,
    now: Now,
) -> Response | BaseModel:
    """Confirm the enrollment: signed in, with ten recovery codes."""
    refuse_cookie_to_guest(http, body.transport)
    done = await runtime.workers.run(
        runtime.enrollment.finish,
        body.login,
        method,
        body.enrollment,
        body.answer,
        body.label,
        caller,
        transport=body.transport,
        now=now,
    )
    if isinstance(done, Denied):
        return login_denied()
    if isinstance(done, EnrollmentRequired):
        return enrollment_required(done)
    if not isinstance(done, EnrolledAndSignedIn):
        return refusal(done)
    reply = FactorsChangedOut(
        **SignedInOut.of(done.signed_in).model_dump(),
        factor=FactorOut.of(done.authenticator),
        recovery_codes=list(done.recovery_codes),
    )
    return with_cookies(runtime, reply, done.signed_in)
