"""All routes of the API, put under their prefixes."""

import functools
import threading
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Scope

from twinlock.web.problems import problem
from twinlock.web.routes import OwnRouter, TwinlockRoute

_SLASHES = "twinlock_slashes"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class _Slashes(Convertor[str]):
    """Any number of slashes: Starlette cuts off all of them before it redirects."""

    regex = "/*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor(_SLASHES, _Slashes())


class WholeApi(OwnRouter):
    """Every route, each with a twin that answers 404 to trailing slashes.

    Starlette would answer the slash with a redirect to whatever host the client named.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._filling = threading.RLock()
        self._is_begun = self._is_full = False

    def fill(self) -> None:
        """Import the routes and add them, at the start or when somebody asks for them earlier.

        An application that is only imported, as a command or a test of the host's does, pays
        for none of it.
        """
        with self._filling:
            if self._is_begun:
                return
            self._is_begun = True
            twins = _Twins()
            for prefix, added in _routers():
                self._add(added, twins, prefix=prefix)
            self.include_router(twins)
            self._is_full = True

    def _get_routes_version(self, seen: set[int] | None = None) -> int:
        if not self._is_full:
            self.fill()
        return super()._get_routes_version(seen)

    @functools.cached_property
    def first_segments(self) -> frozenset[str]:
        """The words that the paths of all modules begin with, behind any prefix."""
        return frozenset().union(*(added.first_segments for _, added in _routers()))

    def _add(self, added: OwnRouter, twins: "_Twins", *, prefix: str) -> None:
        self.include_router(added, prefix=prefix)
        paths = {route.path for route in added.routes if isinstance(route, APIRoute)}
        for path in sorted(paths):
            twins.add_api_route(
                f"{prefix}{path}/{{more:{_SLASHES}}}",
                _not_found,
                methods=_METHODS,
                include_in_schema=False,
                route_class_override=TwinlockRoute,
                response_model=None,
            )


class _Twins(OwnRouter):
    """The twins, which are met only by a path with a slash at its end."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not scope["path"].endswith("/"):
            return Match.NONE, {}
        return super().matches(scope)


def _routers() -> list[tuple[str, OwnRouter]]:
    """Return the routes of each module behind their prefix.

    FastAPI asks them in this order, several times a request: what is most asked for comes first.
    """
    from twinlock.api import (
        account,
        admin,
        admin_invitations,
        admin_mail,
        devices,
        enrollment,
        events,
        factors,
        health,
        invitations,
        login,
        logout,
        passkey,
        policies,
        reauthenticate,
        recovery,
        registration,
        revoke,
        sessions,
        token,
        users,
        well_known,
    )

    under_api = (
        passkey,
        enrollment,
        logout,
        account,
        factors,
        reauthenticate,
        recovery,
        sessions,
        devices,
        events,
        admin,
        admin_invitations,
        admin_mail,
        invitations,
        registration,
        policies,
    )
    return [
        ("", token.api),
        ("/api", login.api),
        *(("", module.api) for module in (users, revoke, well_known, health)),
        *(("/api", module.api) for module in under_api),
    ]


async def _not_found() -> Response:
    return problem(404, "not_found", "There is nothing here.")
