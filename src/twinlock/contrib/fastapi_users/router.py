"""The login and logout routes of a backend, in place of fastapi-users' own."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, HTTPException, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users import FastAPIUsers
from fastapi_users.authentication.strategy import Strategy
from fastapi_users.exceptions import InvalidID, UserNotExists
from pydantic import BaseModel

from twinlock.api.bodies import Answer, Handle, MethodOut
from twinlock.api.login import BeginIn
from twinlock.api.responses import known_from_now_on
from twinlock.app import Twinlock
from twinlock.audit.events import Caller
from twinlock.contrib.fastapi_users.refusals import BAD_ANSWER, REFUSALS, DropInRoute, refused
from twinlock.contrib.fastapi_users.strategies import (
    AnyBackend,
    Bound,
    TwinlockStrategy,
    session_id_of,
)
from twinlock.core.proof import Acr
from twinlock.flows.admission import Request
from twinlock.flows.outcomes import Denied, IssuedTokens, Offered, SignedIn, Throttled
from twinlock.web.demand import Demand
from twinlock.web.deps import OWN_SITE, caller
from twinlock.web.password_step import Submitted, submit_password
from twinlock.web.routes import router as own_router
from twinlock.web.runtime import Runtime


class AnswerIn(BaseModel):
    """An answer to the second-factor prompt of a pending login."""

    login: Handle
    answer: Answer


def get_auth_router(
    auth: Twinlock,
    fastapi_users: FastAPIUsers[Any, Any],
    backend: AnyBackend,
    *,
    requires_verification: bool = False,
) -> APIRouter:
    """Return the login and logout routes of a backend, in place of fastapi-users' own.

    ``POST /login`` takes the same form, and a code appended to the password or in ``otp``.
    An account with a second factor is answered with 403 and a ``login``, which goes on at
    ``POST /login/{method}``; ``POST /login/{method}/begin`` renews a passkey's challenge or
    mails a code. ``POST /access`` gives a token for our own routes.

    Args:
        auth: The instance, with `users_directory` as its directory.
        fastapi_users: The host's own, with *backend* among its backends.
        backend: One that `protected` returned.
        requires_verification: Whether only users with a verified address sign in.
    """
    router = own_router(DropInRoute, tags=["auth"])
    transport = backend.transport
    welcome = transport.get_openapi_login_responses_success()
    farewell = transport.get_openapi_logout_responses_success()
    current = fastapi_users.authenticator.current_user_token(
        active=True, verified=requires_verification
    )
    get_manager, get_strategy = fastapi_users.get_user_manager, backend.get_strategy

    async def finish(
        request: HttpRequest, outcome: Any, manager: Any, strategy: TwinlockStrategy
    ) -> Response:
        runtime = auth.runtime
        if not isinstance(outcome, SignedIn):
            return refused(outcome)
        session_id = session_id_of(runtime, outcome)
        user = await _user_of(runtime, manager, session_id)
        if user is None or not user.is_active or (requires_verification and not user.is_verified):
            await runtime.workers.run(
                runtime.refresh.revoke, "", session_id, Caller(), now=runtime.clock()
            )
            return refused(Denied())
        response = await backend.login(Bound(strategy, session_id), user)
        await manager.on_after_login(user, request, response)
        known_from_now_on(runtime, response, outcome)
        return response

    @router.post(
        "/login",
        name=f"auth:{backend.name}.login",
        dependencies=[OWN_SITE],
        responses={**REFUSALS, **welcome},
    )
    async def login(
        request: HttpRequest,
        form: Annotated[OAuth2PasswordRequestForm, Depends()],
        manager: Annotated[Any, Depends(get_manager)],
        strategy: Annotated[Any, Depends(get_strategy)],
        otp: Annotated[str | None, Form()] = None,
    ) -> Response:
        """Sign in with an address and a password."""
        runtime = auth.runtime
        submitted = Submitted(form.username, form.password, otp, may_append=True)
        asked = Request(caller(request, runtime))
        outcome = await submit_password(runtime, submitted, asked, now=runtime.clock())
        return await finish(request, outcome, manager, strategy)

    @router.post(
        "/login/{method}",
        name=f"auth:{backend.name}.second_factor",
        dependencies=[OWN_SITE],
        responses={**REFUSALS, **welcome},
    )
    async def submit_answer(
        method: str,
        body: AnswerIn,
        request: HttpRequest,
        manager: Annotated[Any, Depends(get_manager)],
        strategy: Annotated[Any, Depends(get_strategy)],
    ) -> Response:
        """Answer the second-factor prompt of a pending login."""
        outcome = await auth.second_factor.finish(request, body.login, method, body.answer)
        if isinstance(outcome, Denied):
            return _unanswered(outcome)
        return await finish(request, outcome, manager, strategy)

    @router.post(
        "/login/{method}/begin",
        name=f"auth:{backend.name}.second_factor_begin",
        dependencies=[OWN_SITE],
        response_model=MethodOut,
        response_model_exclude_none=True,
        responses=REFUSALS,
    )
    async def begin_again(method: str, body: BeginIn, request: HttpRequest) -> MethodOut | Response:
        """Ask for fresh options of a method, or for a code by mail; the counts stay."""
        outcome = await auth.second_factor.begin_again(request, body.login, method)
        return MethodOut.of(outcome) if isinstance(outcome, Offered) else _unanswered(outcome)

    @router.post("/access", name=f"auth:{backend.name}.access")
    async def access(
        user_token: Annotated[tuple[Any, str], Depends(current)],
        strategy: Annotated[Any, Depends(get_strategy)],
    ) -> Response:
        """Return an access token of this session for our own routes, as ``/api/factors``."""
        runtime = auth.runtime
        found = await strategy.session_of(user_token[1])
        issued = found and await runtime.workers.run(
            runtime.refresh.access_token_of, found[1].session_id, now=runtime.clock()
        )
        if not isinstance(issued, IssuedTokens):
            raise HTTPException(401)
        return JSONResponse(
            {
                "access_token": issued.access_token,
                "token_type": "bearer",
                "expires_in": int(issued.expires_in.total_seconds()),
            }
        )

    @router.post(
        "/logout",
        name=f"auth:{backend.name}.logout",
        responses={401: {"description": "Missing token or inactive user."}, **farewell},
    )
    async def logout(
        user_token: Annotated[tuple[Any, str], Depends(current)],
        strategy: Annotated[Any, Depends(get_strategy)],
    ) -> Response:
        """End the session of this token."""
        user, token = user_token
        return await backend.logout(strategy, user, token)

    return router


def require(
    auth: Twinlock,
    fastapi_users: FastAPIUsers[Any, Any],
    *,
    acr: Acr | str | None = None,
    max_age: timedelta | None = None,
    amr: str | None = None,
    verified: bool = False,
) -> Any:
    """Return a dependency that gives the host's user, who has proven this much.

    ``fastapi_users.current_user()`` tells that a token counts; this tells what it proved.

    Args:
        auth: The instance whose sessions are asked.
        fastapi_users: The host's own.
        acr: At least ``aal1``, ``aal2`` or ``phr``.
        max_age: How old the proof may be at most.
        amr: A method that must really have been used (RFC 8176).
        verified: Whether the address must be verified.

    Raises:
        ValueError: *acr* is none of the three.
    """
    demand = Demand(
        acr=None if acr is None else Acr(acr),
        max_age=max_age,
        amr=frozenset(() if amr is None else (amr,)),
    )
    current = fastapi_users.authenticator.current_user_token(active=True, verified=verified)

    async def proven(user_token: Annotated[tuple[Any, str], Depends(current)]) -> Any:
        user, token = user_token
        found = await TwinlockStrategy(auth, _NOTHING).session_of(token)
        if found is None:
            raise HTTPException(401)
        demand.check(found[1], auth.runtime)
        return user

    return Depends(proven)


def _unanswered(outcome: Denied | Throttled) -> Response:
    if isinstance(outcome, Denied):
        return JSONResponse({"detail": BAD_ANSWER}, 400)
    return refused(outcome)


class _Nothing(Strategy[Any, Any]):
    async def read_token(self, token: str | None, user_manager: Any) -> None: ...

    async def write_token(self, user: Any) -> str:
        raise NotImplementedError

    async def destroy_token(self, token: str, user: Any) -> None: ...


_NOTHING: Final = _Nothing()


async def _user_of(runtime: Runtime, manager: Any, session_id: str) -> Any | None:
    session = await runtime.sight.user_of_session(session_id)
    if session is None:
        return None
    try:
        return await manager.get(manager.parse_id(session.host_id))
    except (UserNotExists, InvalidID):
        return None
