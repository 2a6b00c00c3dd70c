"""``/api/reauthenticate``: prove again, or prove more, inside this session."""

from fastapi import Response
from pydantic import BaseModel

from twinlock.api.bodies import Answer, Handle, MethodOut, SignedInOut
from twinlock.api.login import begun_again
from twinlock.api.responses import SIGNED_IN_PROBLEMS, with_cookies
from twinlock.core.proof import Acr
from twinlock.flows.outcomes import Denied, SignedIn, Throttled
from twinlock.flows.reauthentication import PASSWORD, PasswordCounted, ReauthenticationBegun
from twinlock.web.deps import From, Now, Running, SessionCookie
from twinlock.web.guard import OwnUser
from twinlock.web.password_step import compare
from twinlock.web.problems import login_denied, refusal, too_many_tries
from twinlock.web.routes import router
from twinlock.web.runtime import Runtime

api = router(prefix="/reauthenticate", tags=["reauthentication"], responses=SIGNED_IN_PROBLEMS)


class ReauthenticateIn(BaseModel):
    """What is to be reached; nothing given: whatever the account can prove."""

    acr: Acr | None = None


class ReauthenticationOut(BaseModel):
    """A reauthentication that waits for an answer by one of these methods."""

    reauthentication: str
    methods: list[MethodOut]


class ReauthenticationIn(BaseModel):
    """A reauthentication that was begun."""

    reauthentication: Handle


class ReauthenticationAnswerIn(BaseModel):
    """An answer."""

    reauthentication: Handle
    answer: Answer


@api.post("", response_model=ReauthenticationOut, response_model_exclude_none=True)
async def reauthenticate(
    body: ReauthenticateIn, user: OwnUser, runtime: Running, caller: From, now: Now
) -> ReauthenticationOut | Response:
    """Ask what may be proven again."""
    begun = await runtime.workers.run(
        runtime.reauthentication.begin, user, body.acr, caller, now=now
    )
    if not isinstance(begun, ReauthenticationBegun):
        return refusal(begun)
    methods = [MethodOut.of(offered) for offered in begun.methods]
    return ReauthenticationOut(reauthentication=begun.handle, methods=methods)


@api.post("/{method}", response_model=SignedInOut)
async def answer_reauthentication(
    method: str,
    body: ReauthenticationAnswerIn,
    user: OwnUser,
    runtime: Running,
    caller: From,
    cookie: SessionCookie,
    now: Now,
) -> Response:
    """Answer: a bearer client gets a new access token, a browser a new cookie."""
    if method == PASSWORD:
        return await _by_password(body, user, runtime, caller, cookie, now)
    outcome = await runtime.workers.run(
        runtime.reauthentication.submit_answer,
        user,
        body.reauthentication,
        method,
        body.answer,
        caller,
        cookie=cookie,
        now=now,
    )
    return _answer(runtime, outcome)


@api.post("/{method}/begin", response_model=MethodOut, response_model_exclude_none=True)
async def begin_reauthentication_again(
    method: str, body: ReauthenticationIn, user: OwnUser, runtime: Running, caller: From, now: Now
) -> Response | BaseModel:
    """Ask for fresh options of a method, or for a code by mail; the counts stay."""
    offered = await runtime.workers.run(
        runtime.reauthentication.begin_again, user, body.reauthentication, method, caller, now=now
    )
    return begun_again(offered)


async def _by_password(
    body: ReauthenticationAnswerIn,
    user: OwnUser,
    runtime: Runtime,
    caller: From,
    cookie: str | None,
    now: Now,
) -> Response:
    with runtime.hash_pool.place() as place:
        counted = await runtime.workers.run(
            runtime.reauthentication.count_password, user, body.reauthentication, caller, now=now
        )
        if not isinstance(counted, PasswordCounted):
            return _answer(runtime, counted)
        password = body.answer if isinstance(body.answer, str) else ""
        checked = await compare(runtime, place, counted.account, user.username, password, now=now)
    outcome = await runtime.workers.run(
        runtime.reauthentication.finish_password,
        user,
        counted,
        checked,
        caller,
        cookie=cookie,
        now=now,
    )
    return _answer(runtime, outcome)


def _answer(runtime: Runtime, outcome: SignedIn | Denied | Throttled) -> Response:
    match outcome:
        case SignedIn():
            return with_cookies(runtime, SignedInOut.of(outcome), outcome)
        case Throttled():
            return too_many_tries(outcome)
        case Denied():
            return login_denied()
