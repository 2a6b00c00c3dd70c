"""What the login server adds around the routes: headers, CORS, errors and an access log."""

import logging
from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twinlock.core import clock
from twinlock.web.headers import encoded, with_missing
from twinlock.web.observing import RequestObserver
from twinlock.web.origin import OwnOrigin
from twinlock.web.problems import problem
from twinlock.web.route_names import template_of

access_log = logging.getLogger("twinlock.access")
log = logging.getLogger("twinlock.web")

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CSP: Final = "default-src 'none'; frame-ancestors 'none'"
_DOCS_PATHS: Final = frozenset({"/docs", "/docs/oauth2-redirect"})
_STRICT_TRANSPORT: Final = "max-age=63072000; includeSubDomains"


def add_server_parts(
    app: FastAPI,
    *,
    cors_origins: Sequence[str],
    is_https: bool,
    own_origin: OwnOrigin | None,
    observer: RequestObserver | None = None,
) -> None:
    """Complete the application of ``twinlock serve``.

    Args:
        own_origin: Answers no ``Host`` but its own, as in production; None for any.
        observer: Told of each request.
    """
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_credentials=False,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "WWW-Authenticate"],
        )
    app.add_middleware(_Server, is_https=is_https, own_origin=own_origin, observer=observer)


class _Server:
    """Answers what nothing inside answers, adds security headers, and writes the access log.

    The log holds the route's template, never path or query: they may carry a secret.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_https: bool,
        own_origin: OwnOrigin | None,
        observer: RequestObserver | None,
    ) -> None:
        self._app = app
        self._observer = observer
        self._own_origin = own_origin
        headers = _HEADERS | ({"Strict-Transport-Security": _STRICT_TRANSPORT} if is_https else {})
        self._docs_headers = encoded(headers)
        self._headers = encoded(headers | {"Content-Security-Policy": _CSP})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = clock.monotonic()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                is_docs = scope["path"] in _DOCS_PATHS
                added = self._docs_headers if is_docs else self._headers
                message["headers"] = with_missing(message["headers"], added)
            await send(message)

        answer: ASGIApp = self._app if self._is_ours(scope) else _wrong_host()
        try:
            await answer(scope, receive, send_with_headers)
        except Exception as error:
            log.exception("request_failed", extra={"error": type(error).__name__})
            if status is not None:
                raise  # the answer has begun: the server closes the connection
            await _failed()(scope, receive, send_with_headers)
        finally:
            seconds = clock.monotonic() - started_at
            if access_log.isEnabledFor(logging.INFO):
                _log_access(scope, status or 500, seconds)
            if self._observer is not None:
                self._observer.answered(
                    method=scope["method"],
                    route=template_of(scope),
                    status=status or 500,
                    seconds=seconds,
                )

    def _is_ours(self, scope: Scope) -> bool:
        return self._own_origin is None or self._own_origin.is_asked(Headers(scope=scope))


def _log_access(scope: Scope, status: int, seconds: float) -> None:
    access_log.info(
        "request_answered",
        extra={
            "method": scope["method"],
            "route": template_of(scope),
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        },
    )


async def _answer_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    types = {404: "not_found", 405: "method_not_allowed"}
    details = {404: "There is nothing here.", 405: "This method is not supported here."}
    headers = error.headers if isinstance(error, HTTPException) else None
    type_ = getattr(error, "type", types.get(status, "malformed_request"))
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return problem(status, type_, details.get(status, "The request failed."), headers=headers)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    return problem(422, "invalid_request", "The request is not valid.")


def _failed() -> Response:
    headers = {"Cache-Control": "no-store"}
    return problem(500, "internal_error", "Something went wrong on our side.", headers=headers)


def _wrong_host() -> Response:
    return problem(400, "wrong_host", "This host is not served here.")
