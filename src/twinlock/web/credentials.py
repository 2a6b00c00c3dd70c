"""What a request carries to say who sends it: one bearer token, or our session cookie."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection
from starlette.types import Scope

from twinlock.core.principal import User
from twinlock.web import cookies
from twinlock.web.bearer import bearer_token
from twinlock.web.problems import ProblemError, cross_site_request, invalid_token
from twinlock.web.recognition import Recognition, Refused
from twinlock.web.socket_watch import offered_tokens

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_COOKIE_NAME: Final = cookies.SESSION.encode()
USER_KEY: Final = "twinlock.user"
"""Where the ASGI scope holds the user whom a layer let pass, for applications to read."""
ADMITTED_KEY: Final = "twinlock.admitted"
"""Where it holds the same for the guards behind, with who recognised the user: the users of one
installation are nobody to another that is mounted inside."""

Admitted = tuple[Recognition, User]


def user_in_memory(scope: Scope, recognition: Recognition) -> User | Refused | None:
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
    if authorization is None or (scope["query_string"] and _names_token(scope["query_string"])):
        return None
    return recognition.sight.recall(authorization)


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
    bearer = None if authorization is None else bearer_token(authorization)
    if bearer is not None:
        tokens.append(bearer)
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
