"""``/api/passkey``: sign in with a passkey alone, without a name and without a password."""

from typing import Any

from fastapi import Response
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from twinlock.api.bodies import Answer, Handle, SignedInOut
from twinlock.api.responses import SIGN_IN_PROBLEMS, with_cookies
from twinlock.flows.admission import Request
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, Throttled
from twinlock.flows.passkey_login import PasskeyAsked
from twinlock.web.deps import OWN_SITE, From, Now, Running, refuse_cookie_to_guest
from twinlock.web.problems import login_denied, refusal, too_many_tries
from twinlock.web.routes import router

api = router(prefix="/passkey", tags=["login"], dependencies=[OWN_SITE], responses=SIGN_IN_PROBLEMS)


class PasskeyLoginOut(BaseModel):
    """What to hand to ``navigator.credentials.get()``, and what to answer with."""

    login: str
    expires_in: int
    options: dict[str, Any]


class PasskeyAnswerIn(BaseModel):
    """The credential that ``navigator.credentials.get()`` gave."""

    login: Handle
    answer: Answer
    transport: Transport = Transport.BEARER


@api.post("/begin", response_model=PasskeyLoginOut)
async def begin_passkey_login(runtime: Running, now: Now) -> PasskeyLoginOut | Response:
    """Ask for a challenge that any passkey of this service can answer."""
    match await runtime.workers.run(runtime.passkey_login.begin, now=now):
        case PasskeyAsked(handle=handle, expires_in=expires_in, options=options):
            seconds = int(expires_in.total_seconds())
            return PasskeyLoginOut(login=handle, expires_in=seconds, options=options)
        case Refused() as refused:
            return refusal(refused)


@api.post("/finish", response_model=SignedInOut)
async def finish_passkey_login(
    http: HTTPConnection, body: PasskeyAnswerIn, runtime: Running, caller: From, now: Now
) -> Response:
    """Sign in with the answer of a passkey that verified its user."""
    refuse_cookie_to_guest(http, body.transport)
    outcome = await runtime.workers.run(
        runtime.passkey_login.finish,
        body.login,
        body.answer,
        Request(caller, body.transport),
        now=now,
    )
    match outcome:
        case SignedIn() as signed_in:
            return with_cookies(runtime, SignedInOut.of(signed_in), signed_in)
        case Throttled() as throttled:
            return too_many_tries(throttled)
        case Denied():
            return login_denied()
