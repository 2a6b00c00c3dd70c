"""The route class of every route of ours: relies on nothing that a host application sets up.

It caps the body, reads JSON strictly, answers its own errors as problem details without the
submitted values, lets nothing be cached, and knows each path without a trailing slash only.
"""

import functools
import logging
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.utils import generate_unique_id
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from twinlock.core.errors import DatabaseUnavailableError, TwinlockError
from twinlock.web import strict_json
from twinlock.web.credentials import credential_in_url
from twinlock.web.hash_pool import HashQueueFullError
from twinlock.web.headers import encoded, with_missing
from twinlock.web.methods import allowed_methods
from twinlock.web.problems import ProblemError, problem, unavailable
from twinlock.web.runtime import runtime_of

log = logging.getLogger("twinlock.web")

_NO_STORE: Final = encoded({"Cache-Control": "no-store", "Pragma": "no-cache"})
_COME_BACK: Final = timedelta(seconds=2)
_NO_SUCH_METHOD: Final = 405
_LONGEST_LENGTH: Final = 20
"""Digits of a number of bytes; more are not read."""
_CREDENTIALS: Final = frozenset(
    {
        "access_token",
        "authorization",
        "bearer",
        "bearer_token",
        "client_secret",
        "csrf_token",
        "id_token",
        "jwt",
        "mfa_token",
        "otp",
        "password",
        "refresh_token",
        "session",
        "token",
        "__host-twinlock",
    }
)
"""Parameters that no URL of ours has: whoever sends one believes that it counts."""


class StrictRequest(Request):
    """A request whose body is capped, and whose JSON is strict."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in parts, whoever reads it: as bytes, as JSON or as a form.

        Raises:
            ProblemError: 413, it is larger than the limit.
        """
        limit = runtime_of(self).body_limit
        size = 0
        async for chunk in super().stream():
            size += len(chunk)
            if size > limit:
                raise _too_large()
            yield chunk

    async def read_undeclared(self) -> None:
        """Read a body that does not say how large it is, also where nothing else reads it.

        Raises:
            ProblemError: 413, it is larger than the limit; 400, the client left.
        """
        try:
            await self.body()
        except ClientDisconnect as error:
            raise ProblemError(400, "malformed_request", "The body has no end.") from error

    async def json(self) -> Any:
        """Return the body's JSON value.

        Raises:
            ProblemError: 400, it is not strict JSON.
        """
        try:
            return strict_json.loads(await self.body())
        except strict_json.NotStrictJsonError as error:
            raise ProblemError(400, "malformed_json", f"The body is {error}.") from error


class TwinlockRoute(APIRoute):
    """A route that answers every error itself, as problem details."""

    def get_route_handler(self) -> Any:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                check_host(request)
                check_url(request)
                check_declared_length(request)
                response = self.answer_early(request)
                if response is None:
                    asked = StrictRequest(request.scope, request.receive)
                    if "transfer-encoding" in request.headers:
                        await asked.read_undeclared()
                    response = await handle(asked)
            except (HTTPException, RequestValidationError, TwinlockError) as error:
                response = self.answer_error(error)
            response.raw_headers[:] = with_missing(response.raw_headers, _NO_STORE)
            return response

        return answer

    def answer_early(self, request: Request) -> Response | None:
        """Answer before the body is read, which costs most; None where that is not enough."""
        return None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, a method that this path does not know as well."""
        try:
            await super().handle(scope, receive, send)
        except HTTPException as error:
            if error.status_code != _NO_SUCH_METHOD:
                raise
            response = problem(
                _NO_SUCH_METHOD,
                "method_not_allowed",
                "This method is not supported here.",
                headers={"Allow": ", ".join(allowed_methods(scope, TwinlockRoute))},
            )
            response.raw_headers[:] = with_missing(response.raw_headers, _NO_STORE)
            await response(scope, receive, send)

    def answer_error(
        self, error: HTTPException | RequestValidationError | TwinlockError
    ) -> Response:
        """Translate an error that ended a request early."""
        match error:
            case ProblemError():
                return error.response()
            case RequestValidationError():
                errors = told(error)
                return problem(422, "invalid_request", "The request is not valid.", errors=errors)
            case HTTPException():
                return problem(
                    error.status_code,
                    "malformed_request",
                    str(error.detail),
                    headers=error.headers,
                )
            case TwinlockError():
                type_, wait = failed_closed(error)
                return unavailable(type_, wait)


def failed_closed(error: TwinlockError) -> tuple[str, timedelta]:
    """Say in the log why nothing could be decided; return a type and how long to wait."""
    if isinstance(error, HashQueueFullError):
        return "busy", error.retry_after
    reason = str(error) if isinstance(error, DatabaseUnavailableError) else None
    log.error("request_failed_closed", extra={"error": type(error).__name__, "reason": reason})
    return "unavailable", _COME_BACK


class OwnRouter(APIRouter):
    """A router that is asked only about paths that hold the first segment of one of its own.

    FastAPI asks every route of every included router, once more at each level: for a path that
    is not ours, the host's own included, that would cost more than the answer.

    What an application sets as defaults for the routes that it includes is not taken over: a
    response class that renders no JSON, a function that names operations after their first
    tag, bodies without a content type.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            default_response_class=JSONResponse,
            generate_unique_id_function=generate_unique_id,
            strict_content_type=True,
            **options,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a route fits."""
        if self.first_segments.isdisjoint(scope["path"].split("/")):
            return Match.NONE, {}
        return super().matches(scope)

    def _get_routes_version(self, seen: set[int] | None = None) -> int:
        """Tell FastAPI what it else finds out by asking every route, several times a request.

        The routers that ours include are complete when they are included.
        """
        return self._routes_version

    @functools.cached_property
    def first_segments(self) -> frozenset[str]:
        """The words that the paths of its routes begin with."""
        paths = (route.path for route in self.routes if isinstance(route, APIRoute))
        return frozenset(path.split("/")[1] for path in paths)


def router(route_class: type[APIRoute] = TwinlockRoute, **options: Any) -> OwnRouter:
    """Return a router whose routes are ours."""
    return OwnRouter(route_class=route_class, redirect_slashes=False, **options)


def check_host(request: Request) -> None:
    """Refuse a request to another host than ours, where that matters.

    Raises:
        ProblemError: 400.
    """
    runtime = runtime_of(request)
    if runtime.requires_own_host and not runtime.origin.is_asked(request.headers):
        told = f"This host is not served here; {runtime.origin.name} is."
        raise ProblemError(400, "wrong_host", told)


def check_url(request: Request) -> None:
    """Refuse credentials where logs, histories and other sites find them.

    Raises:
        ProblemError: 400.
    """
    query = request.scope["query_string"].decode("latin-1")
    if query and any(
        name.lower() in _CREDENTIALS for name, _ in parse_qsl(query, keep_blank_values=True)
    ):
        raise credential_in_url()


def check_declared_length(request: Request) -> None:
    """Refuse a body that says itself that it is too large, also where nothing reads it.

    Raises:
        ProblemError: 413.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit():
        limit = runtime_of(request).body_limit
        if len(declared) > _LONGEST_LENGTH or int(declared) > limit:
            raise _too_large()


def told(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return what is wrong and where, never what was submitted: it may be a password."""
    return [
        {"loc": [_name(part) for part in one["loc"]], "type": one["type"], "msg": one["msg"]}
        for one in error.errors()
    ]


def _name(part: str | int) -> str | int:
    return part if isinstance(part, int) else part.encode("utf-8", "replace").decode("utf-8")


def _too_large() -> ProblemError:
    return ProblemError(413, "body_too_large", "The request body is too large.")
