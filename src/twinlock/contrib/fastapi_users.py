"""A drop-in for fastapi-users: its login router and strategies, with second factors.

router    checks the password, asks for the second factor, opens a session of ours
strategy  wraps the host's own (JWT, database, Redis): writes its token together with the
          session, under a MAC, and reads it only while that session lives
hooks     carry password, e-mail and deletion over from the ``UserManager``
"""

import contextlib
from datetime import timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse
from fastapi_users import FastAPIUsers
from fastapi_users.authentication import AuthenticationBackend
from fastapi_users.authentication.strategy import Strategy, StrategyDestroyNotSupportedError
from fastapi_users.exceptions import InvalidID, UserNotExists
from fastapi_users.manager import BaseUserManager
from fastapi_users.router.common import ErrorCode
from pydantic import BaseModel

from twinlock.api.bodies import Answer, Handle, MethodOut
from twinlock.api.responses import known_from_now_on
from twinlock.app import Twinlock
from twinlock.audit.events import Caller
from twinlock.contrib.sqlalchemy import SqlAlchemyDirectory
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.flows.admission import Request
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    IssuedTokens,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.web.deps import OWN_SITE, caller
from twinlock.web.guard import Demand
from twinlock.web.password_step import Submitted, submit_password
from twinlock.web.problems import retry_after
from twinlock.web.routes import router as own_router
from twinlock.web.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

SECOND_FACTOR_REQUIRED: Final = "LOGIN_SECOND_FACTOR_REQUIRED"
ENROLLMENT_REQUIRED: Final = "LOGIN_ENROLLMENT_REQUIRED"
TOO_MANY_TRIES: Final = "LOGIN_TOO_MANY_TRIES"
BAD_ANSWER: Final = "LOGIN_BAD_SECOND_FACTOR"

_MARK: Final = "~"
"""Between the host's token and ours: in neither alphabet, and allowed in headers and cookies."""
_PARTS: Final = 3

AnyStrategy = Strategy[Any, Any]
AnyBackend = AuthenticationBackend[Any, Any]


def users_directory(bind: "Engine | AsyncEngine | str", user: type[Any]) -> SqlAlchemyDirectory:
    """Return a directory over the ``User`` table of fastapi-users' SQLAlchemy adapter.

    People sign in with their e-mail address, in any case. Outdated hashes are replaced, as
    fastapi-users does it; it reads Argon2id.

    Args:
        bind: The host's engine, or the URL of its database.
        user: The declarative class.
    """
    return SqlAlchemyDirectory(
        bind,
        user,
        {
            "id": "id",
            "username": "email",
            "email": "email",
            "password_hash": "hashed_password",
            "active": "is_active",
        },
        ignores_case=True,
        upgrades_hashes=True,
    )


def protected(auth: Twinlock, backend: AnyBackend) -> AnyBackend:
    """Return *backend* with its strategy wrapped: only tokens of our login count.

    Every backend that ``FastAPIUsers`` is given must be one of these.
    """

    async def get_strategy(
        strategy: Annotated[AnyStrategy, Depends(backend.get_strategy)],
    ) -> TwinlockStrategy:
        return TwinlockStrategy(auth, strategy)

    return AuthenticationBackend(backend.name, backend.transport, get_strategy)


class TwinlockStrategy(Strategy[Any, Any]):
    """Writes and reads the host's tokens, each bound to a session of ours."""

    def __init__(self, auth: Twinlock, inner: AnyStrategy) -> None:
        self._auth = auth
        self._inner = inner

    async def read_token(
        self, token: str | None, user_manager: BaseUserManager[Any, Any]
    ) -> Any | None:
        """Return the user of a token that our login wrote, while its session lives."""
        found = await self.session_of(token)
        if found is None:
            return None
        inner, session = found
        user = await self._inner.read_token(inner, user_manager)
        return user if user is not None and str(user.id) == session.host_id else None

    async def write_token(self, user: Any) -> str:
        """Return a token for another router, such as that of OAuth, which vouches for the user.

        Raises:
            HTTPException: 403 for an account with a second factor; the login goes on at
                ``/login/{method}``.
        """
        runtime = self._auth.runtime
        outcome = await _vouched(runtime, str(user.id))
        if isinstance(outcome, SignedIn):
            return await self.write_bound(user, _session_id(runtime, outcome))
        status, detail = _refusal(outcome)
        raise HTTPException(status, detail)

    async def write_bound(self, user: Any, session_id: str) -> str:
        """Return the host's token, bound to a session that was just opened."""
        inner = await self._inner.write_token(user)
        mac = _mac(self._auth.runtime, inner, session_id)
        return _MARK.join((inner, session_id, mac))

    async def destroy_token(self, token: str, user: Any) -> None:
        """End the session, and the host's token where that is possible."""
        found = await self.session_of(token)
        if found is None:
            return
        inner, session = found
        runtime = self._auth.runtime
        await runtime.workers.run(
            runtime.refresh.revoke, "", session.session_id, Caller(), now=runtime.clock()
        )
        with contextlib.suppress(StrategyDestroyNotSupportedError):  # the session is over anyway
            await self._inner.destroy_token(inner, user)

    async def session_of(self, token: str | None) -> tuple[str, User] | None:
        """Return the host's token and the session it is bound to; None where either is not ours."""
        parts = (token or "").rsplit(_MARK, _PARTS - 1)
        if len(parts) != _PARTS:
            return None
        inner, session_id, claimed = parts
        runtime = self._auth.runtime
        expected = _mac(runtime, inner, session_id)
        if not compare_digest(expected.encode(), claimed.encode("utf-8", "replace")):
            return None
        user = await runtime.sight.user_of_session(session_id)
        return None if user is None else (inner, user)


class _Bound(Strategy[Any, Any]):
    """What a backend writes one token with."""

    def __init__(self, strategy: TwinlockStrategy, session_id: str) -> None:
        self._strategy = strategy
        self._session_id = session_id

    async def read_token(self, token: str | None, user_manager: Any) -> None:
        """Read nothing."""

    async def write_token(self, user: Any) -> str:
        """Return a token of the session."""
        return await self._strategy.write_bound(user, self._session_id)

    async def destroy_token(self, token: str, user: Any) -> None:
        """Destroy nothing."""


class UserManagerHooks:
    """Tells us of changed passwords and addresses, and of deleted users.

    Put it before ``BaseUserManager`` among the bases of your ``UserManager``, and name the
    instance: ``twinlock = auth``. Who overrides one of these calls it.
    """

    twinlock: Twinlock

    async def on_after_update(
        self, user: Any, update_dict: dict[str, Any], request: HttpRequest | None = None
    ) -> None:
        """Have the user looked at again; a new password ends every session."""
        await self.twinlock.changed(user.id, password="password" in update_dict)

    async def on_after_reset_password(self, user: Any, request: HttpRequest | None = None) -> None:
        """End every session; second factors stay."""
        await self.twinlock.changed(user.id, password=True)

    async def on_after_delete(self, user: Any, request: HttpRequest | None = None) -> None:
        """Close what belongs to the user."""
        await self.twinlock.forget(user.id)


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
    ``POST /login/{method}``. ``POST /access`` gives a token for our own routes.

    Args:
        backend: One that `protected` returned.
        requires_verification: Whether only users with a verified address sign in.
    """
    router = own_router(tags=["auth"])
    current = fastapi_users.authenticator.current_user_token(
        active=True, verified=requires_verification
    )
    get_manager, get_strategy = fastapi_users.get_user_manager, backend.get_strategy

    async def finish(
        request: HttpRequest, outcome: Any, manager: Any, strategy: TwinlockStrategy
    ) -> Response:
        runtime = auth.runtime
        if not isinstance(outcome, SignedIn):
            return _refused(outcome)
        session_id = _session_id(runtime, outcome)
        user = await _user_of(runtime, manager, session_id)
        if user is None or not user.is_active or (requires_verification and not user.is_verified):
            await runtime.workers.run(
                runtime.refresh.revoke, "", session_id, Caller(), now=runtime.clock()
            )
            return _refused(Denied())
        response = await backend.login(_Bound(strategy, session_id), user)
        await manager.on_after_login(user, request, response)
        known_from_now_on(runtime, response, outcome)
        return response

    @router.post("/login", name=f"auth:{backend.name}.login", dependencies=[OWN_SITE])
    async def login(
        request: HttpRequest,
        manager: Annotated[Any, Depends(get_manager)],
        strategy: Annotated[Any, Depends(get_strategy)],
    ) -> Response:
        """Sign in with an address and a password."""
        runtime = auth.runtime
        form = await _form(request)
        submitted = Submitted(
            form.get("username", ""), form.get("password", ""), form.get("otp"), may_append=True
        )
        asked = Request(caller(request, runtime))
        outcome = await submit_password(runtime, submitted, asked, now=runtime.clock())
        return await finish(request, outcome, manager, strategy)

    @router.post(
        "/login/{method}", name=f"auth:{backend.name}.second_factor", dependencies=[OWN_SITE]
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
            return JSONResponse({"detail": BAD_ANSWER}, 400)
        return await finish(request, outcome, manager, strategy)

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

    @router.post("/logout", name=f"auth:{backend.name}.logout")
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


class _Nothing(Strategy[Any, Any]):
    async def read_token(self, token: str | None, user_manager: Any) -> None: ...

    async def write_token(self, user: Any) -> str:
        raise NotImplementedError

    async def destroy_token(self, token: str, user: Any) -> None: ...


_NOTHING: Final = _Nothing()


async def _vouched(runtime: Runtime, host_id: str) -> Any:
    entry = None if runtime.asking is None else await runtime.asking.get(host_id)
    if entry is None:
        return Denied()
    return await runtime.workers.run(
        runtime.login.continue_vouched, entry, Request(Caller()), now=runtime.clock()
    )


async def _user_of(runtime: Runtime, manager: Any, session_id: str) -> Any | None:
    session = await runtime.sight.user_of_session(session_id)
    if session is None:
        return None
    try:
        return await manager.get(manager.parse_id(session.host_id))
    except (UserNotExists, InvalidID):
        return None


async def _form(request: HttpRequest) -> dict[str, str]:
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _session_id(runtime: Runtime, signed_in: SignedIn) -> str:
    if not isinstance(signed_in.credentials, IssuedTokens):
        raise TypeError("a bearer's session was answered with a cookie")
    claims = runtime.sight.claims_of(signed_in.credentials.access_token)
    if claims is None:
        raise TypeError("an access token of this moment cannot be read")
    return claims.session_id


def _mac(runtime: Runtime, inner: str, session_id: str) -> str:
    """Return what nobody can write but us, over a host's token and a session."""
    text = inner.encode("utf-8", "replace"), session_id.encode("utf-8", "replace")
    return runtime.parts.digest_key.digest("fastapi-users", *text).hex()


def _refusal(outcome: object) -> tuple[int, Any]:
    match outcome:
        case SecondFactorRequired():
            return 403, {
                "reason": SECOND_FACTOR_REQUIRED,
                "login": outcome.handle,
                "expires_in": int(outcome.expires_in.total_seconds()),
                "methods": [
                    MethodOut.of(offered).model_dump(exclude_none=True)
                    for offered in outcome.methods
                ],
            }
        case EnrollmentRequired():
            return 403, ENROLLMENT_REQUIRED
        case Throttled():
            return 429, TOO_MANY_TRIES
        case _:
            return 400, ErrorCode.LOGIN_BAD_CREDENTIALS.value


def _refused(outcome: object) -> Response:
    status, detail = _refusal(outcome)
    headers = retry_after(outcome.retry_after) if isinstance(outcome, Throttled) else {}
    return JSONResponse({"detail": detail}, status, headers=dict(headers))
