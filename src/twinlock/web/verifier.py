"""A service without a database: its users are who the tokens of a login server say they are."""

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Literal

from fastapi import FastAPI

from twinlock.core.clock import Clock, monotonic, utc_now
from twinlock.core.errors import KeysUnavailableError
from twinlock.core.principal import User
from twinlock.tokens import access_token, jwks
from twinlock.tokens.access_token import AccessClaims
from twinlock.tokens.published_keys import PublishedKeys
from twinlock.tokens.verified import RefusedTokens, VerifiedTokens
from twinlock.web.bearer import bearer_token
from twinlock.web.presence import Presence, write_token_url
from twinlock.web.recognition import REFUSED, Refused
from twinlock.web.socket_watch import CHECK_SECONDS

LEEWAY: Final = timedelta(seconds=30)
"""How far the clocks of the login server and of this service may be apart."""
_PATIENCE: Final = (2 * jwks.TIMEOUT).total_seconds()


class Verifier:
    """Checks access tokens (RFC 9068 section 4) with the keys that their issuer publishes.

    ``Verifier(issuer="https://login.example.com").install(app)`` gives ``CurrentUser`` and
    ``require(…)`` to an application that knows the login server's address and nothing else.
    It needs ``twinlock[verifier]``.

    A token says less than a database: `User.username` and `User.host_id` are the ``sub``,
    there is no e-mail and no name, and what was true when the token was signed counts until
    it expires. Session cookies mean nothing here.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | None = None,
        prefix: str = "",
        environment: Literal["production", "development"] = "production",
        clock: Clock = utc_now,
    ) -> None:
        """Trust *issuer*. Its keys are fetched when the first token comes, not now.

        Args:
            issuer: The ``iss``: the login server's base URL.
            audience: The ``aud`` that tokens must name; by default the issuer, as there.
            prefix: Where the login server's routes are below its base URL.
            environment: Development takes keys without TLS from other machines, too.
            clock: Where the present moment comes from.

        Raises:
            ConfigurationError: Keys cannot be fetched from there, or httpx2 is missing.
        """
        jwks.require_client()
        url = jwks.jwks_url(issuer, prefix=prefix, environment=environment)
        self._token_url = f"{issuer.rstrip('/')}{prefix}/token"
        sight = ClaimedSight(
            PublishedKeys(partial(jwks.fetch_keys, url)),
            issuer=issuer,
            audience=issuer if audience is None else audience,
            clock=clock,
        )
        self._runtime = Claimed(clock, sight)

    @property
    def runtime(self) -> "Claimed":
        """What guards ask."""
        return self._runtime

    def install(self, app: FastAPI) -> None:
        """Give the routes of *app* their users; adds no route.

        *Authorize* in ``/docs`` asks the login server, which must list this service's origin
        in ``TWINLOCK_CORS_ORIGINS`` for that.
        """
        app.add_middleware(Presence, instance=self)
        write_token_url(app, self._token_url)


@dataclass(frozen=True, slots=True)
class Claimed:
    """Recognises users by what their tokens claim."""

    clock: Clock
    sight: "ClaimedSight"
    installation: None = None
    socket_interval: float = CHECK_SECONDS


@dataclass(frozen=True, slots=True)
class _Seen:
    user: User
    kid: str


class ClaimedSight:
    """Turns access tokens into users, by their claims alone; each token is verified once."""

    def __init__(self, keys: PublishedKeys, *, issuer: str, audience: str, clock: Clock) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._seen: VerifiedTokens[_Seen] = VerifiedTokens()
        self._refused = RefusedTokens()

    def remembered(self, credential: str) -> User | None:
        """Return the user of a token that was verified with a key that is still published."""
        now = self._clock()
        seen = self._seen.get(credential, now=now)
        return seen.user if seen is not None and self._keys.has(seen.kid, now=now) else None

    def recall(self, authorization: bytes) -> User | Refused | None:
        """Return whom the bearer token in a header stands for, if memory still holds good."""
        token = bearer_token(authorization)
        if token is None:
            return None
        user = self.remembered(token)
        return REFUSED if user is None and self._is_refused(token) else user

    def _is_refused(self, token: str) -> bool:
        return self._refused.has(token, at=monotonic())

    async def user_of_token(self, token: str) -> User | None:
        """Return the user of a token, or None when it opens nothing.

        The signature is checked here: a hop to a thread would cost as much.

        Raises:
            KeysUnavailableError: It cannot be decided now.
        """
        kid = access_token.claimed_kid(token)
        if kid is None or self._is_refused(token):
            return None
        fetching = self._keys.renew(kid, now=self._clock())
        if fetching is not None:
            await _until_done(fetching)
        now = self._clock()
        claims = access_token.verify(
            token,
            self._keys.current(now=now),
            issuer=self._issuer,
            audience=self._audience,
            now=now,
            leeway=LEEWAY,
        )
        if claims is None:
            self._refused.add(token, at=monotonic())
            return None
        user = _user_of(claims)
        self._seen.remember(
            token, claims.session_id, _Seen(user, kid), expires_at=claims.expires_at, now=now
        )
        return user


async def _until_done(fetching: Future[None]) -> None:
    """Wait for a fetch that others may be waiting for, too.

    Raises:
        KeysUnavailableError: It takes too long.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.shield(asyncio.wrap_future(fetching))
    except TimeoutError as error:
        raise KeysUnavailableError("the issuer is silent") from error


def _user_of(claims: AccessClaims) -> User:
    """Return the user; a name that a token does not tell is the ``sub``, which is unique."""
    return User(
        id=claims.subject,
        host_id=claims.subject,
        username=claims.subject,
        email=None,
        full_name=None,
        roles=frozenset(claims.roles),
        scope=frozenset(claims.scope),
        acr=claims.acr,
        amr=claims.amr,
        auth_time=claims.auth_time,
        session_id=claims.session_id,
        generation=0,
        must_change_password=False,
    )
