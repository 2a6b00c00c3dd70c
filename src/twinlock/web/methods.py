"""Which methods a path of ours knows: what every 405 says (RFC 9110 section 15.5.6)."""

from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts
from starlette._utils import get_route_path
from starlette.types import Scope


def allowed_methods(scope: Scope, route_class: type[APIRoute]) -> list[str]:
    """Return the methods of all routes of a class that a request's path fits.

    Starlette names those of the first of them alone, and each method has a route of its own.
    """
    path = get_route_path(scope)
    routes: Any = scope["app"].routes
    found: set[str] = set()
    for context in iter_route_contexts(routes):
        if isinstance(context.original_route, route_class) and context.path_regex.match(path):
            found |= context.methods or set()
    return sorted(found)
