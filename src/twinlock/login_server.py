"""The login server's own application."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastapi import FastAPI

from twinlock.app import Twinlock
from twinlock.config.settings import Settings
from twinlock.core.clock import Clock, utc_now
from twinlock.core.errors import ConfigurationError
from twinlock.pages.extra import has_pages
from twinlock.telemetry.tracing import telemetry
from twinlock.web.origin import OwnOrigin
from twinlock.web.server import add_server_parts

if TYPE_CHECKING:
    from twinlock.telemetry.metrics import Metrics


def create_app(settings: Settings | None = None, *, clock: Clock = utc_now) -> FastAPI:
    """Return the login server: the application that ``twinlock serve`` runs.

    Args:
        settings: Those of the installation; None for the environment's.
        clock: Where the present moment comes from.

    Raises:
        ConfigurationError: A setting is missing, unknown, or not fit for production.
    """
    auth = Twinlock(settings, clock=clock)
    docs = auth.settings.docs_enabled
    metrics = None
    if auth.settings.metrics_port is not None:
        metrics = _metrics()
        auth.observe(metrics)
    app = FastAPI(
        title=auth.settings.service_name,
        telemetry=telemetry(),
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        redirect_slashes=False,
    )
    app.state.twinlock = auth
    auth.install(app)
    add_server_parts(
        app,
        cors_origins=auth.settings.cors_origins,
        is_https=auth.settings.base_url.startswith("https:"),
        own_origin=OwnOrigin(auth.settings.base_url, other_origins=())
        if auth.settings.is_production
        else None,
        observer=metrics,
    )
    if auth.settings.pages_enabled and has_pages():
        auth.add_pages(app)
    return app


def _metrics() -> "Metrics":
    if find_spec("prometheus_client") is None:
        raise ConfigurationError(
            "TWINLOCK_METRICS_PORT is set, and what counts is not installed. "
            "Type: pip install 'twinlock[metrics]'"
        )
    from prometheus_client import CollectorRegistry

    from twinlock.telemetry.metrics import Metrics

    return Metrics(CollectorRegistry())
