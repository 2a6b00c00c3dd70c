"""What installing leaves in an application: the instance where requests find it, and its URL."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.web.recognition import SCOPE_KEY, Instance
from twinlock.web.socket_watch import CHECK_SECONDS, run_watched

SCHEME_NAME: Final = "Twinlock"
"""The security scheme of the guard in OpenAPI."""


class Presence:
    """Puts an instance where requests find the nearest; ``app.state`` is not seen in a mount."""

    def __init__(self, app: ASGIApp, instance: Instance) -> None:
        self._app = app
        self.instance = instance

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on what comes, with the instance in its scope; no coroutine of its own."""
        scope[SCOPE_KEY] = self.instance
        if scope["type"] == "websocket":
            try:
                interval = self.instance.runtime.socket_interval
            except DatabaseUnavailableError:  # the guards inside refuse, and others need none
                interval = CHECK_SECONDS
            return run_watched(self._app, scope, receive, send, interval=interval)
        return self._app(scope, receive, send)


def write_token_url(app: FastAPI, url: str) -> None:
    """Point *Authorize* of ``/docs`` to the token endpoint.

    Args:
        url: Absolute, or relative to where the application is.
    """
    describe: Callable[[], dict[str, Any]] = app.openapi

    def described() -> dict[str, Any]:
        schema = describe()
        schemes = schema.get("components", {}).get("securitySchemes", {})
        if SCHEME_NAME in schemes:
            schemes[SCHEME_NAME]["flows"]["password"]["tokenUrl"] = url
        return schema

    app.openapi = described  # type: ignore[method-assign] # FastAPI's documented way
