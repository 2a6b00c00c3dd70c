"""All routes of the API, put under their prefixes."""

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor

from twinlock.api import (
    account,
    events,
    factors,
    health,
    login,
    logout,
    reauthenticate,
    revoke,
    sessions,
    token,
    users,
    well_known,
)
from twinlock.web.problems import problem
from twinlock.web.routes import TwinlockRoute

_AT_ROOT = (token, revoke, users, well_known, health)
_UNDER_API = (login, logout, account, factors, reauthenticate, sessions, events)
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


def add_routes(router: APIRouter) -> None:
    """Add every route, each with a twin that answers 404 to trailing slashes.

    Starlette would answer the slash with a redirect to whatever host the client named.
    """
    for module in _AT_ROOT:
        _add(router, module.api, prefix="")
    for module in _UNDER_API:
        _add(router, module.api, prefix="/api")


def _add(router: APIRouter, added: APIRouter, *, prefix: str) -> None:
    router.include_router(added, prefix=prefix)
    paths = {route.path for route in added.routes if isinstance(route, APIRoute)}
    for path in sorted(paths):
        router.add_api_route(
            f"{prefix}{path}/{{more:{_SLASHES}}}",
            _not_found,
            methods=_METHODS,
            include_in_schema=False,
            route_class_override=TwinlockRoute,
            response_model=None,
        )


async def _not_found() -> Response:
    return problem(404, "not_found", "There is nothing here.")
