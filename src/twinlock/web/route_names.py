"""What the log, the metrics and the events call a route: its template, never a path."""

from starlette.types import Scope


def template_of(scope: Scope) -> str | None:
    """Return the path of the request's route as it was declared; None where there is none."""
    template: str | None = getattr(scope.get("route"), "path", None)
    return template
