"""An application that includes our routes itself: how its requests find their instance."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import Mount

from twinlock.core.errors import ConfigurationError
from twinlock.web.presence import Presence, write_token_url
from twinlock.web.recognition import Instance
from twinlock.web.routes import TwinlockRoute


def is_present(app: FastAPI, instance: Instance) -> bool:
    """Tell whether requests of *app* find this instance already.

    Raises:
        ConfigurationError: They find another one, whose users would be taken for ours.
    """
    present = _present_in(app)
    if any(one is not instance for one in present):
        raise ConfigurationError(
            "this application has another instance of Twinlock already; install this one in "
            "an application of its own and mount that: app.mount('/other', other_app)"
        )
    return bool(present)


def _present_in(app: FastAPI) -> list[object]:
    """Return the instances that were put where requests of *app* find them."""
    found: list[object] = []
    for middleware in app.user_middleware:
        cls: object = middleware.cls
        if cls is Presence:
            found.append(middleware.kwargs.get("instance"))
    if isinstance(app.middleware_stack, Presence):
        found.append(app.middleware_stack.instance)
    return found


def settle(app: FastAPI, instance: Instance) -> None:
    """Make an instance present in a starting application that included the routes itself."""
    if app.middleware_stack is None:
        app.add_middleware(Presence, instance=instance)
    else:  # built to let the start through: too late for one more of `add_middleware`
        app.middleware_stack = Presence(app.middleware_stack, instance)


def write_token_urls(app: FastAPI, url: str) -> None:
    """Point *Authorize* to the token endpoint: in an application, and in those mounted in it.

    One that has an instance of its own, or will have one when that starts, is left alone.

    Args:
        url: Relative to where the application is.
    """
    write_token_url(app, url)
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(inner := route.app, FastAPI):
            has_own = bool(_present_in(inner)) or any(_own_routes(inner))
            if not has_own:
                depth = len([part for part in route.path.split("/") if part])
                write_token_urls(inner, "../" * depth + url)


def _own_routes(app: FastAPI) -> Iterator[RouteContext]:
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, TwinlockRoute):
            yield context


def prefix_in(app: FastAPI) -> str:
    """Return under which prefix *app* included our routes."""
    for context in _own_routes(app):
        path = context.path or ""
        if path.endswith("/token"):
            return path.removesuffix("/token")
    return ""
