"""The host's strategies, each token of theirs bound to a session of ours."""

import contextlib
from hmac import compare_digest
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException
from fastapi_users.authentication import AuthenticationBackend
from fastapi_users.authentication.strategy import Strategy, StrategyDestroyNotSupportedError
from fastapi_users.manager import BaseUserManager

from twinlock.app import Twinlock
from twinlock.audit.events import Caller
from twinlock.contrib.fastapi_users.refusals import refusal
from twinlock.core.principal import User
from twinlock.flows.admission import Request
from twinlock.flows.outcomes import Denied, IssuedTokens, SignedIn
from twinlock.web.runtime import Runtime

_MARK: Final = "~"
"""Between the host's token and ours: in neither alphabet, and allowed in headers and cookies."""
_PARTS: Final = 3

AnyStrategy = Strategy[Any, Any]
AnyBackend = AuthenticationBackend[Any, Any]


def protected(auth: Twinlock, backend: AnyBackend) -> AnyBackend:
    """Return *backend* with its strategy wrapped: only tokens of our login count.

    Every backend that ``FastAPIUsers`` is given must be one of these.

    Args:
        auth: The instance whose sessions the tokens are bound to.
        backend: Of any strategy and transport.
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
            return await self.write_bound(user, session_id_of(runtime, outcome))
        status, detail = refusal(outcome)
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


class Bound(Strategy[Any, Any]):
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


async def _vouched(runtime: Runtime, host_id: str) -> Any:
    entry = None if runtime.asking is None else await runtime.asking.get(host_id)
    if entry is None:
        return Denied()
    return await runtime.workers.run(
        runtime.login.continue_vouched, entry, Request(Caller()), now=runtime.clock()
    )


def session_id_of(runtime: Runtime, signed_in: SignedIn) -> str:
    """Return the session that a login opened for a bearer."""
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
