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


class _Described:
    """What an application's OpenAPI document says, with the URL of the token endpoint."""

    def __init__(self, describe: Callable[[], dict[str, Any]], url: str) -> None:
        self._describe = describe
        self._url = url

    def __call__(self) -> dict[str, Any]:
        """Return the document."""
        schema = self._describe()
        schemes = schema.get("components", {}).get("securitySchemes", {})
        if SCHEME_NAME in schemes:
            schemes[SCHEME_NAME]["flows"]["password"]["tokenUrl"] = self._url
        return schema


def write_token_url(app: FastAPI, url: str) -> None:
    """Point *Authorize* of ``/docs`` to the token endpoint.

    Called again when the application starts: it may have put a function of its own there since.

    Args:
        url: Absolute, or relative to where the application is.
    """
    describe: Callable[[], dict[str, Any]] = app.openapi
    if not isinstance(describe, _Described):
        app.openapi = _Described(describe, url)  # type: ignore[method-assign] # FastAPI's way
