"""All routes of the API, put under their prefixes."""

import functools
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Scope

from twinlock.api import (
    account,
    admin,
    devices,
    enrollment,
    events,
    factors,
    health,
    login,
    logout,
    passkey,
    reauthenticate,
    recovery,
    revoke,
    sessions,
    token,
    users,
    well_known,
)
from twinlock.web.problems import problem
from twinlock.web.routes import OwnRouter, TwinlockRoute

_AT_ROOT = (token, revoke, users, well_known, health)
_UNDER_API = (
    login,
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
)
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
        twins = _Twins()
        for module in _AT_ROOT:
            self._add(module.api, twins, prefix="")
        for module in _UNDER_API:
            self._add(module.api, twins, prefix="/api")
        self.include_router(twins)

    @functools.cached_property
    def first_segments(self) -> frozenset[str]:
        """The words that the paths of all modules begin with, behind any prefix."""
        modules = (*_AT_ROOT, *_UNDER_API)
        return frozenset().union(*(module.api.first_segments for module in modules))

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
    """The twins, which nobody meets who types no slash at the end."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not scope["path"].endswith("/"):
            return Match.NONE, {}
        return super().matches(scope)


async def _not_found() -> Response:
    return problem(404, "not_found", "There is nothing here.")
