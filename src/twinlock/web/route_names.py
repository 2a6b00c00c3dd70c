"""What the log, the metrics and the events call a route: its template, never a path."""

from starlette.types import Scope


def template_of(scope: Scope) -> str | None:
    """Return the path of the request's route as it was declared; None where there is none.

    While a route answers, FastAPI keeps the path with the prefixes that its routers were
    included under beside the route, which has only its own.
    """
    included = scope.get("fastapi", {}).get("effective_route_context")
    template: str | None = getattr(included or scope.get("route"), "path", None)
    return template
