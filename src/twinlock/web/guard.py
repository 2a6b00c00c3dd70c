"""The signed-in request: one security dependency over one implementation.

``CurrentUser`` and ``OptionalUser`` are its plain forms, ``require(…)`` asks for more.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, WebSocketException
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from twinlock.core.errors import TwinlockError
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.sessions.policy import Lifetimes
from twinlock.web.credentials import ADMITTED_KEY, user_in_memory, user_of
from twinlock.web.demand import Demand
from twinlock.web.presence import SCHEME_NAME
from twinlock.web.problems import ProblemError, invalid_token, not_authenticated, retry_after
from twinlock.web.recognition import (
    REFUSED,
    NotInstalledError,
    NotStartedError,
    Recognition,
    recognition_in,
)
from twinlock.web.socket_watch import WATCH_KEY, Watch, close_code

_COME_BACK: Final = timedelta(seconds=2)


class Guard(SecurityBase):
    """Turns the bearer token or session cookie of a request into a `User`."""

    def __init__(
        self,
        demand: Demand | None = None,
        *,
        is_optional: bool = False,
        lets_first_password: bool = False,
    ) -> None:
        """Demand more than being signed in.

        Args:
            demand: What must be proven; None for nothing more.
            is_optional: Whether a request without credentials passes as nobody's.
            lets_first_password: Whether an account that still has to change its first
                password passes: on its own pages only.
        """
        self.model = OAuth2Model(
            flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="token", scopes={})),
            description="Username, and the password followed by the code of the second factor.",
        )
        self.scheme_name = SCHEME_NAME
        self._demand = demand
        self._is_optional = is_optional
        self._lets_first_password = lets_first_password

    def demands(self, lifetimes: Lifetimes) -> Demand:
        """Return what a request must prove to pass."""
        return self._demand or Demand()

    @property
    def is_optional(self) -> bool:
        """Whether a request without credentials passes as nobody's."""
        return self._is_optional

    async def __call__(self, connection: HTTPConnection) -> User | None:
        """Return the user.

        Raises:
            ProblemError: The request may not pass.
            WebSocketException: The same on a WebSocket, which is closed with 1008, or with 1013
                where it cannot be decided now.
        """
        scope = connection.scope
        try:
            recognition = recognition_in(scope)
        except NotStartedError as error:
            if scope["type"] != "websocket":
                raise
            raise WebSocketException(close_code(error), error.detail) from error
        if scope["type"] == "websocket":
            return await self._on_websocket(connection, recognition)
        user = user_in_memory(scope, recognition)
        if user is None:
            return await self.look(connection, recognition)
        if user is REFUSED:
            raise invalid_token()
        scope[ADMITTED_KEY] = (recognition, user)  # for the next guard of the same request
        return self.admit(user, recognition)

    async def _on_websocket(
        self, connection: HTTPConnection, recognition: Recognition
    ) -> User | None:
        try:
            user = await self.look(connection, recognition)
        except ProblemError as error:
            raise WebSocketException(close_code(error), error.detail) from error
        if user is not None:
            self.watch(connection, recognition)
        return user

    def watch(self, connection: HTTPConnection, recognition: Recognition) -> None:
        """Look again for as long as a WebSocket is open, at each message and now and then.

        Raises:
            NotInstalledError: Nothing of an installation stands around it.
        """
        watched: Watch | None = connection.scope.get(WATCH_KEY)
        if watched is None:
            raise NotInstalledError("call Twinlock(...).install(app) on this application first")
        watched.ask(
            (self, recognition),
            lambda is_active: self.look(connection, recognition, is_active=is_active),
        )

    async def look(
        self, connection: HTTPConnection, recognition: Recognition, *, is_active: bool = True
    ) -> User | None:
        """Return the user of a request; None only where that is allowed.

        Args:
            is_active: Whether the user did something just now: see `Sight.user_of_cookie`.

        Raises:
            ProblemError: The request may not pass.
        """
        try:
            user = await user_of(connection, recognition, is_active=is_active)
        except TwinlockError as error:
            raise ProblemError(
                503, "unavailable", "Unavailable", headers=retry_after(_COME_BACK)
            ) from error
        if user is not None:
            return self.admit(user, recognition)
        if self._is_optional:
            return None
        raise not_authenticated()

    def admit(self, user: User, recognition: Recognition) -> User:
        """Return the user, who is known by now, if that is enough here.

        Raises:
            ProblemError: It is not.
        """
        if user.must_change_password and not self._lets_first_password:
            raise ProblemError(
                403, "password_change_required", "Change the first password before anything else."
            )
        if self._demand is not None:
            self._demand.check(user, recognition)
        return user


def require(
    *,
    acr: Acr | str | None = None,
    max_age: timedelta | None = None,
    amr: str | Iterable[str] = (),
    role: str | Iterable[str] = (),
    scope: str | Iterable[str] = (),
) -> Any:
    """Return a dependency that gives a `User` who has proven this much.

    Use it as a parameter (``user: Annotated[User, require(acr="aal2")]``), in
    ``dependencies=[require(role="admin")]``, or on a router.

    A request that has shown too little is answered with 401 and a step-up challenge (RFC 9470
    section 3), one whose account lacks a role or whose token lacks a scope with 403.

    Args:
        acr: At least ``aal1``, ``aal2`` or ``phr``.
        max_age: How old the proof may be at most: `User.auth_time` is compared, no session's age.
        amr: Methods that must really have been used (RFC 8176), such as ``otp``; all of them.
        role: Roles that the account must hold; all of them.
        scope: Scopes that the token must carry; all of them.

    Returns:
        The dependency itself. Put no ``Depends`` around it.

    Raises:
        ValueError: *acr* is none of the three.
    """
    if acr is not None and acr not in set(Acr):
        raise ValueError(f"acr is one of {', '.join(Acr)}; not {acr!r}")
    demand = Demand(
        acr=None if acr is None else Acr(acr),
        max_age=max_age,
        amr=_set(amr),
        roles=_set(role),
        scope=_set(scope),
    )
    return Depends(Guard(demand), scope="request")


def _set(values: str | Iterable[str]) -> frozenset[str]:
    return frozenset({values} if isinstance(values, str) else values)


# FastAPI works out the scope of a dependency that names none at each request. It concerns
# generators alone, and all of them may depend on what is of the scope "request".

CurrentUser = Annotated[User, Depends(Guard(), scope="request")]
"""The signed-in user; 401 where there is none."""

OptionalUser = Annotated[User | None, Depends(Guard(is_optional=True), scope="request")]
"""The signed-in user, or None where the request carries no credentials."""

OwnUser = Annotated[User, Depends(Guard(lets_first_password=True), scope="request")]
"""The signed-in user of our own routes, also before the first password is changed."""
