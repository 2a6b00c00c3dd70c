"""The signed-in request: one security dependency over one implementation.

``CurrentUser`` and ``OptionalUser`` are its plain forms, ``require(…)`` asks for more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl

from fastapi import Depends, WebSocketException
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.types import Scope

from twinlock.core.errors import TwinlockError
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.sessions.policy import Lifetimes
from twinlock.web import cookies
from twinlock.web.presence import SCHEME_NAME
from twinlock.web.problems import (
    ProblemError,
    cross_site_request,
    insufficient_authentication,
    invalid_token,
    not_authenticated,
    retry_after,
)
from twinlock.web.recognition import (
    NotInstalledError,
    NotStartedError,
    Recognition,
    recognition_in,
)
from twinlock.web.socket_watch import WATCH_KEY, Watch, close_code, offered_tokens

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_COOKIE_NAME: Final = cookies.SESSION.encode()
_COME_BACK: Final = timedelta(seconds=2)
USER_KEY: Final = "twinlock.user"
"""Where the ASGI scope holds the user whom a layer let pass, for applications to read."""
ADMITTED_KEY: Final = "twinlock.admitted"
"""Where it holds the same for the guards behind, with who recognised the user: the users of one
installation are nobody to another that is mounted inside."""

Admitted = tuple[Recognition, User]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request must prove beyond being signed in; an empty one demands nothing more."""

    acr: Acr | None = None
    max_age: timedelta | None = None
    amr: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    scope: frozenset[str] = frozenset()

    def check(self, user: User, recognition: Recognition) -> None:
        """Let the user pass.

        Raises:
            ProblemError: 401 with a step-up challenge, or 403 where no proof would help.
        """
        if not self.roles <= user.roles:
            raise ProblemError(403, "role_required", "Not allowed.")
        if (self.acr is not None and not user.acr.satisfies(self.acr)) or not self.amr <= _shown(
            user
        ):
            raise insufficient_authentication(acr=self.acr or Acr.AAL2, max_age=self.max_age)
        if self.max_age is not None and not user.is_fresh(self.max_age, now=recognition.clock()):
            raise insufficient_authentication(acr=self.acr, max_age=self.max_age)
        if not self.scope <= user.scope:
            scope = " ".join(sorted(self.scope))
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            raise ProblemError(
                403, "insufficient_scope", "Not allowed.", headers={"WWW-Authenticate": challenge}
            )


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


class _Refused(Enum):
    TOKEN = "refused"


REFUSED: Final = _Refused.TOKEN
"""In the place of a user: the token was refused a moment ago."""


def user_in_memory(scope: Scope, recognition: Recognition) -> User | Literal[_Refused.TOKEN] | None:
    """Return the user of a request that carries a known bearer token and no other credential.

    None says nothing about the request: `user_of` decides.
    """
    admitted: Admitted | None = scope.get(ADMITTED_KEY)
    if admitted is not None and admitted[0] is recognition:
        return admitted[1]
    authorization: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if authorization is not None:
                return None
            authorization = value
        elif name == b"cookie" and _COOKIE_NAME in value:
            return None
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return None
    if _names_token(scope["query_string"]):
        return None
    token = authorization[7:].decode("latin-1").strip()
    user = recognition.sight.remembered(token)
    if user is None and recognition.sight.is_refused(token):
        return REFUSED
    return user


async def user_of(
    connection: HTTPConnection, recognition: Recognition, *, is_active: bool = True
) -> User | None:
    """Return the user of a request, or None when it carries no credentials.

    Args:
        is_active: Whether the user did something just now: see `Sight.user_of_cookie`.

    Raises:
        ProblemError: The credentials are not valid, or there is more than one kind.
        DatabaseUnavailableError: It cannot be decided now.
    """
    authorization: bytes | None = None
    cookie_header: bytes | None = None
    for name, value in connection.scope["headers"]:
        if name == b"authorization":
            if authorization is not None:
                raise _ambiguous()
            authorization = value
        elif name == b"cookie" and _COOKIE_NAME in value:
            cookie_header = value if cookie_header is None else cookie_header + b";" + value
    if _names_token(connection.scope["query_string"]):
        raise credential_in_url()
    secret = _session_cookie(cookie_header) if cookie_header is not None else None
    tokens = _tokens_of_websocket(connection) if connection.scope["type"] == "websocket" else []
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        tokens.append(authorization[7:].decode("latin-1").strip())
    if not tokens:
        return (
            None
            if secret is None
            else await _user_of_cookie(connection, recognition, secret, is_active=is_active)
        )
    if len(tokens) > 1 or (secret is not None and recognition.installation is not None):
        raise _ambiguous()
    [token] = tokens
    user = await recognition.sight.user_of_token(token)
    if user is None:
        raise invalid_token()
    return user


def _tokens_of_websocket(connection: HTTPConnection) -> list[str]:
    """Return what came as a subprotocol.

    Raises:
        ProblemError: It came in the URL, where WebSockets of others have it.
    """
    if "token" in connection.query_params:
        raise credential_in_url()
    return offered_tokens(connection.scope)


async def _user_of_cookie(
    connection: HTTPConnection, recognition: Recognition, secret: str, *, is_active: bool
) -> User | None:
    """Return the user of a session cookie, whose unsafe requests must come from our own pages.

    Where only tokens are verified, the cookie is somebody else's, and nobody's.
    """
    runtime = recognition.installation
    if runtime is None:
        return None
    user = await runtime.sight.user_of_cookie(secret, is_active=is_active)
    if user is None:
        raise invalid_token("The session has ended.")
    is_websocket = connection.scope["type"] == "websocket"
    if is_websocket or connection.scope["method"] not in SAFE_METHODS:
        names_none = is_websocket and "origin" not in connection.headers
        if names_none or runtime.origin.is_cross_site(connection, has_cookie=True):
            raise cross_site_request(runtime.origin.name)
        claimed = connection.headers.get("x-csrf-token", "")
        if not is_websocket and not runtime.opening.is_csrf_token(claimed, cookie_secret=secret):
            raise ProblemError(403, "csrf_token_required", "The CSRF token is missing or wrong.")
    return user


def session_cookie(connection: HTTPConnection) -> str | None:
    """Return the secret of the request's session cookie.

    Raises:
        ProblemError: There are two.
    """
    header = "; ".join(connection.headers.getlist("cookie"))
    return _session_cookie(header.encode("latin-1"))


def _session_cookie(header: bytes) -> str | None:
    try:
        return cookies.read_cookie(header.decode("latin-1"), cookies.SESSION)
    except cookies.RepeatedCookieError as error:
        raise _ambiguous() from error


def credential_in_url() -> ProblemError:
    """Return the refusal of what ends in logs and histories (RFC 9700 section 4.3.2)."""
    return ProblemError(400, "credential_in_url", "A credential does not belong into a URL.")


def _names_token(query: bytes) -> bool:
    """Tell whether a query has the parameter of RFC 6750 section 2.3, however it is written."""
    if not query or (b"access_token" not in query.lower() and b"%" not in query):
        return False
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name.lower() == "access_token" for name, _ in pairs)


def _ambiguous() -> ProblemError:
    return ProblemError(
        400, "ambiguous_credentials", "The request carries more than one credential."
    )


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

    Args:
        acr: At least ``aal1``, ``aal2`` or ``phr``.
        max_age: How old the proof may be at most.
        amr: Methods that must really have been used (RFC 8176), such as ``otp``.
        role: Roles that the account must hold.
        scope: Scopes that the token must carry.

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
    return Depends(Guard(demand))


def _shown(user: User) -> frozenset[str]:
    """Return the methods that may satisfy a demand: what a recovery code stands in for is none."""
    shown = frozenset(user.amr)
    return shown if shown - {"pwd", "mfa"} else shown - {"mfa"}


def _set(values: str | Iterable[str]) -> frozenset[str]:
    return frozenset({values} if isinstance(values, str) else values)


CurrentUser = Annotated[User, Depends(Guard())]
"""The signed-in user; 401 where there is none."""

OptionalUser = Annotated[User | None, Depends(Guard(is_optional=True))]
"""The signed-in user, or None where the request carries no credentials."""

OwnUser = Annotated[User, Depends(Guard(lets_first_password=True))]
"""The signed-in user of our own routes, also before the first password is changed."""
