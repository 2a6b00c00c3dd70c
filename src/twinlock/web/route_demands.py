"""What the routes of an application demand, read from their dependencies without asking them."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from twinlock.sessions.policy import Lifetimes
from twinlock.web.demand import Demand
from twinlock.web.guard import Guard


@dataclass(frozen=True, slots=True)
class RouteDemands:
    """What must be proven to pass one route.

    Attributes:
        path: The template of its path.
        demands: One for each guard; none where anybody may pass, as at the sign-in itself.
    """

    method: str
    path: str
    demands: tuple[Demand, ...]


def demands_on(
    app: FastAPI, method: str, path: str, *, lifetimes: Lifetimes
) -> RouteDemands | None:
    """Return what the route of a request demands, or None where there is no such route.

    What stands around whole applications (`GuardLayer`) is not seen.

    Args:
        app: The application.
        method: Such as ``GET``.
        path: A path, or the template of one.
    """
    for context in iter_route_contexts(app.routes):
        if context.path is None or method not in (context.methods or ()):
            continue
        dependant = getattr(context, "dependant", None)
        is_meant = context.path == path or compile_path(context.path)[0].match(path)
        if is_meant and isinstance(dependant, Dependant):
            found = tuple(
                guard.demands(lifetimes) for guard in _guards(dependant) if not guard.is_optional
            )
            return RouteDemands(method, context.path, found)
    return None


def _guards(dependant: Dependant) -> Iterator[Guard]:
    if isinstance(dependant.call, Guard):
        yield dependant.call
    for below in dependant.dependencies:
        yield from _guards(below)
