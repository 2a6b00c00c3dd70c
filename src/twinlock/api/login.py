"""``/api/login``: sign in with a password, then with a second factor."""

from typing import Literal

from fastapi import Request as HttpRequest
from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from twinlock.api.bodies import Answer, Handle, MethodOut, Name, Password, SignedInOut
from twinlock.api.responses import SIGN_IN_PROBLEMS, with_cookies
from twinlock.flows.admission import Request
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    Offered,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.web.deps import (
    caller,
    refuse_cookie_to_guest,
    refuse_other_sites,
    sign_in_step,
)
from twinlock.web.password_step import Submitted, submit_password
from twinlock.web.problems import login_denied, problem, too_many_tries
from twinlock.web.routes import TwinlockRoute, router
from twinlock.web.runtime import runtime_of


class LoginRoute(TwinlockRoute):
    """A route of sign-ins, which no other site's page may send."""

    def answer_early(self, request: HttpRequest) -> Response | None:
        """Refuse other sites, before the body is read."""
        refuse_other_sites(request)
        return super().answer_early(request)


api = router(LoginRoute, prefix="/login", tags=["login"], responses=SIGN_IN_PROBLEMS)


class LoginIn(BaseModel):
    """A name (username or verified e-mail address) and a password."""

    username: Name
    password: Password
    transport: Transport = Transport.BEARER


class SecondFactorRequiredOut(BaseModel):
    """The password was right; the login goes on at ``/api/login/{method}``."""

    status: Literal["second_factor_required"] = "second_factor_required"
    login: str
    expires_in: int
    methods: list[MethodOut]

    @classmethod
    def of(cls, required: SecondFactorRequired) -> "SecondFactorRequiredOut":
        """Translate."""
        return cls(
            login=required.handle,
            expires_in=int(required.expires_in.total_seconds()),
            methods=[MethodOut.of(offered) for offered in required.methods],
        )


class EnrollmentRequiredOut(BaseModel):
    """The password was right; the login goes on at ``/api/enrollment/{method}``.

    ``link_required`` says that the factors were reset: the reset's token goes with it.
    """

    status: Literal["enrollment_required"] = "enrollment_required"
    login: str
    expires_in: int
    methods: list[str]
    link_required: bool

    @classmethod
    def of(cls, handle: str, required: EnrollmentRequired) -> "EnrollmentRequiredOut":
        """Translate."""
        return cls(
            login=handle,
            expires_in=int(required.expires_in.total_seconds()),
            methods=list(required.methods),
            link_required=required.needs_link,
        )


def enrollment_required(required: EnrollmentRequired) -> Response | BaseModel:
    """Return how a login goes on that opens nothing without another factor."""
    if required.handle is None:
        return problem(403, "enrollment_required", "Enroll a second factor first.")
    return EnrollmentRequiredOut.of(required.handle, required)


def begun_again(offered: Offered | Denied | Throttled) -> Response | BaseModel:
    """Return fresh options, or why there are none."""
    match offered:
        case Denied():
            return login_denied()
        case Throttled():
            return too_many_tries(offered)
        case Offered():
            return MethodOut.of(offered)


class BeginIn(BaseModel):
    """A pending login."""

    login: Handle


class AnswerIn(BaseModel):
    """An answer to the second-factor prompt of a pending login."""

    login: Handle
    answer: Answer
    trust_device: bool = False
    transport: Transport = Transport.BEARER


class PasswordRoute(LoginRoute):
    """A route that takes passwords, and turns a flood of them away unread."""

    def answer_early(self, request: HttpRequest) -> Response | None:
        """Refuse early, before the body is read, where there is no place or a network is full."""
        early = super().answer_early(request)
        if early is not None:
            return early
        runtime = runtime_of(request)
        runtime.hash_pool.require_place()
        throttled = runtime.login.turn_away(
            caller(request, runtime), asks_next=False, now=runtime.clock()
        )
        return None if throttled is None else too_many_tries(throttled)


async def log_in(
    http: HTTPConnection,
    body: LoginIn,
) -> Response | BaseModel:
    """Sign in with a password; an account with a second factor is asked for it next."""
    step = sign_in_step(http)
    refuse_cookie_to_guest(http, body.transport)
    submitted = Submitted(body.username, body.password)
    runtime = step.runtime
    request = Request(step.caller, body.transport, may_enroll=True, device=step.device)
    match await submit_password(runtime, submitted, request, now=step.now):
        case SignedIn() as signed_in:
            return with_cookies(runtime, SignedInOut.of(signed_in), signed_in)
        case SecondFactorRequired() as required:
            told = SecondFactorRequiredOut.of(required)
            # As it is: FastAPI would check it against the three things that may come here.
            return JSONResponse(told.model_dump(mode="json", exclude_none=True))
        case Throttled() as throttled:
            return too_many_tries(throttled)
        case EnrollmentRequired() as enrollment:
            return enrollment_required(enrollment)
        case Denied():
            return login_denied()


api.add_api_route(
    "",
    log_in,
    methods=["POST"],
    response_model=SignedInOut | SecondFactorRequiredOut | EnrollmentRequiredOut,
    response_model_exclude_none=True,
    route_class_override=PasswordRoute,
)


@api.post("/{method}", response_model=SignedInOut | EnrollmentRequiredOut)
async def submit_answer(
    method: str,
    http: HTTPConnection,
    body: AnswerIn,
) -> Response | BaseModel:
    """Answer the second-factor prompt of a pending login."""
    step = sign_in_step(http)
    refuse_cookie_to_guest(http, body.transport)
    runtime = step.runtime
    request = Request(
        step.caller,
        body.transport,
        may_enroll=True,
        device=step.device,
        trust_device=body.trust_device,
    )
    outcome = await runtime.workers.run(
        runtime.answering.submit_answer, body.login, method, body.answer, request, now=step.now
    )
    match outcome:
        case SignedIn() as signed_in:
            return with_cookies(runtime, SignedInOut.of(signed_in), signed_in)
        case EnrollmentRequired() as enrollment:
            return enrollment_required(enrollment)
        case Throttled() as throttled:
            return too_many_tries(throttled)
        case Denied():
            return login_denied()


@api.post("/{method}/begin", response_model=MethodOut, response_model_exclude_none=True)
async def begin_again(method: str, http: HTTPConnection, body: BeginIn) -> Response | BaseModel:
    """Ask for fresh options of a method, or for a code by mail; the counts stay.

    What was asked for before is void.
    """
    step = sign_in_step(http)
    offered = await step.runtime.workers.run(
        step.runtime.answering.begin_again, body.login, method, step.caller, now=step.now
    )
    return begun_again(offered)
