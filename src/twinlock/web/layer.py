"""The guard as a pure ASGI layer: for whole routers and mounted apps, and for reverse proxies.

It asks what ``CurrentUser`` and ``require(…)`` ask, before the application sees the request,
and leaves the user in the scope, where they find it again without another look.
"""

import functools
from typing import Final

from fastapi import Response
from fastapi.params import Depends
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from twinlock.core.principal import User
from twinlock.web.credentials import (
    ADMITTED_KEY,
    SAFE_METHODS,
    USER_KEY,
    session_cookie,
    user_in_memory,
)
from twinlock.web.demand import Demand
from twinlock.web.guard import Guard
from twinlock.web.problems import (
    ProblemError,
    cross_site_request,
    invalid_token,
    not_authenticated,
    problem,
)
from twinlock.web.recognition import (
    REFUSED,
    SCOPE_KEY,
    Instance,
    NotStartedError,
    Recognition,
    recognition_in,
    recognition_of,
)
from twinlock.web.socket_watch import close_code, run_watched

_GUARDED: Final = frozenset({"http", "websocket"})
_TOLD_AT_MOST: Final = 10_000
_ORIGINAL_METHOD: Final = ("x-forwarded-method", "x-original-method")


class GuardLayer:
    """Lets only the signed-in reach an ASGI application, and tells it who they are.

    Mounted as ``app.mount("/admin", GuardLayer(other_app, demand=require(role="admin")))`` it
    guards everything under a path of *app*, whatever *other_app* is written with. Inside, the
    `User` is ``scope["twinlock.user"]``, and what ``CurrentUser`` gives.

    A CORS middleware belongs in front of it: browsers send no credentials with a preflight.
    """

    def __init__(
        self,
        app: ASGIApp,
        instance: Instance | None = None,
        *,
        demand: Demand | Depends | None = None,
    ) -> None:
        """Stand before *app*.

        Args:
            app: Any ASGI application.
            instance: Whose users pass; None for the nearest that is installed around it.
            demand: What must be proven beyond being signed in: what ``require(…)`` returns.

        Raises:
            TypeError: *demand* is something else.
        """
        self._app = app
        self._instance = instance
        self._guard = _guard(demand)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what is missing."""
        if scope["type"] not in _GUARDED:
            await self._app(scope, receive, send)
            return
        if self._instance is not None:
            scope[SCOPE_KEY] = self._instance
        try:
            recognition = recognition_in(scope)
        except NotStartedError as error:
            await (_refuse if scope["type"] == "http" else _close)(error, send)
            return
        if scope["type"] == "websocket":
            interval = recognition.socket_interval
            await run_watched(self._admit_socket, scope, receive, send, interval=interval)
            return
        user = user_in_memory(scope, recognition)
        if user is REFUSED:
            await _answer_refused(send)
            return
        try:
            user = (
                await _look(self._guard, scope, recognition)
                if user is None
                else self._guard.admit(user, recognition)
            )
        except ProblemError as error:
            await _refuse(error, send)
            return
        scope[USER_KEY] = user
        scope[ADMITTED_KEY] = (recognition, user)
        await self._app(scope, receive, send)

    async def _admit_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        recognition = recognition_in(scope)
        try:
            user = await _look(self._guard, scope, recognition)
        except ProblemError as error:
            await _close(error, send)
            return
        self._guard.watch(HTTPConnection(scope), recognition)
        scope[USER_KEY] = user
        await self._app(scope, receive, send)


def _guard(demand: Demand | Depends | None) -> Guard:
    if demand is None or isinstance(demand, Demand):
        return Guard(demand)
    guard: object = getattr(demand, "dependency", None)
    if isinstance(guard, Guard):
        return guard
    raise TypeError("demand takes what twinlock.require(…) returns")


class ForwardAuth:
    """Tells a reverse proxy whether a request may pass, and whose it is.

    For nginx's ``auth_request``, Caddy's ``forward_auth`` and Traefik's ``ForwardAuth``: the
    proxy sends the request's headers to *path* and lets it pass on 204. What it then puts into
    headers for the application behind must come from this answer alone: the proxy has to drop
    ``Remote-*`` headers that a client sends.
    """

    def __init__(
        self,
        app: ASGIApp,
        instance: Instance | None = None,
        *,
        path: str = "/forward-auth",
        demand: Demand | Depends | None = None,
    ) -> None:
        """Answer at *path* of *app*, and leave every other path alone.

        Args:
            app: Any ASGI application; ``add_middleware`` gives it.
            instance: Whose users pass; None for the nearest that is installed around it.
            path: What the proxy asks, whatever its method; it begins with a slash.
            demand: What must be proven beyond being signed in: what ``require(…)`` returns.

        Raises:
            TypeError: *demand* is something else.
        """
        self._app = app
        self._instance = instance
        self._path = path
        self._guard = _guard(demand)
        self._told: dict[str, tuple[User, list[tuple[bytes, bytes]]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the proxy."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        if self._instance is not None:
            scope[SCOPE_KEY] = self._instance
        try:
            recognition = recognition_in(scope)
        except NotStartedError as error:
            await _refuse(error, send)
            return
        user = user_in_memory(scope, recognition)
        if user is REFUSED:
            await _answer_refused(send)
            return
        try:
            user = (
                await _look(self._guard, scope, recognition)
                if user is None
                else self._guard.admit(user, recognition)
            )
            if any(name == b"cookie" for name, _ in scope["headers"]):
                _check_site(HTTPConnection(scope))
        except ProblemError as error:
            await _refuse(error, send)
            return
        headers = self._identity_of(user)
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _identity_of(self, user: User) -> list[tuple[bytes, bytes]]:
        """Return the headers of a user, made once for each time that it is looked at."""
        known = self._told.get(user.session_id)
        if known is None or known[0] is not user:
            if len(self._told) >= _TOLD_AT_MOST:
                self._told.clear()
            known = self._told[user.session_id] = user, _identity(user)
        return known[1].copy()


async def _look(guard: Guard, scope: Scope, recognition: Recognition) -> User:
    user = await guard.look(HTTPConnection(scope), recognition)
    if user is None:
        raise not_authenticated()
    return user


def _check_site(connection: HTTPConnection) -> None:
    """Refuse what another site's page sends with our cookie, by the method that it really has.

    A proxy that does not tell the method may be asking for any: then the ``Origin`` decides,
    which browsers send with every method but GET and HEAD.

    Raises:
        ProblemError: 403.
    """
    headers = connection.headers
    methods = {headers[name].upper() for name in _ORIGINAL_METHOD if name in headers}
    is_safe = methods <= SAFE_METHODS if methods else "origin" not in headers
    installation = recognition_of(connection).installation
    if is_safe or installation is None or session_cookie(connection) is None:
        return
    if installation.origin.is_cross_site(connection, has_cookie=True):
        raise cross_site_request(installation.origin.name)


def _identity(user: User) -> list[tuple[bytes, bytes]]:
    """Return the headers that applications behind a proxy know."""
    values = {
        b"remote-user": user.username,
        b"remote-email": user.email or "",
        b"remote-name": user.full_name or "",
        b"remote-groups": ",".join(sorted(user.roles)),
        b"remote-subject": user.id,
        b"remote-acr": user.acr,
        b"cache-control": "no-store",
    }
    return [(name, _field(value)) for name, value in values.items() if value]


def _field(value: str) -> bytes:
    """Return a field value in UTF-8, free of what could end it (RFC 9110 section 5.5)."""
    kept = value if value.isprintable() else "".join(filter(str.isprintable, value))
    return kept.encode("utf-8", "replace")


async def _refuse(error: ProblemError, send: Send) -> None:
    headers = tuple((error.headers or {}).items())
    await _send(_answer(error.status_code, error.type, error.detail, headers), send)


async def _close(error: ProblemError, send: Send) -> None:
    code = close_code(error)
    await send({"type": "websocket.close", "code": code, "reason": error.detail})


async def _answer_refused(send: Send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": _REFUSED_HEADERS.copy()})
    await send({"type": "http.response.body", "body": _REFUSED_BODY})


async def _send(answer: Response, send: Send) -> None:
    # A list of its own: middlewares around us write into it.
    headers = answer.raw_headers.copy()
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


@functools.lru_cache(maxsize=64)
def _answer(
    status: int, type_: str, detail: str, headers: tuple[tuple[str, str], ...]
) -> JSONResponse:
    """Return the answer of an error, made once: who is refused is often refused again."""
    return problem(status, type_, detail, headers=dict(headers))


_REFUSED: Final = invalid_token().response()
_REFUSED_HEADERS: Final = _REFUSED.raw_headers
_REFUSED_BODY: Final = bytes(_REFUSED.body)
