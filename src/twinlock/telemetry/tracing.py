"""Traces without secrets: FastAPI writes its own, with paths and queries in which links lie.

A mailed link carries its token in the path. FastAPI's spans hold path and query, its log records
the text of exceptions. The login server sends spans whose route is told by its template, and
nothing else.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from fastapi.telemetry import TelemetryConfig

from twinlock.core.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_DISABLED: Final = "OTEL_SDK_DISABLED"
_SERVICE: Final = "twinlock"


def telemetry() -> TelemetryConfig:
    """Return what the login server's application does of its own accord.

    Spans go where OpenTelemetry's standard variables say
    (``OTEL_EXPORTER_OTLP_ENDPOINT``); without them none are made.

    Raises:
        ConfigurationError: They are set, and the extra ``twinlock[otel]`` is not installed.
    """
    wanted = any(os.environ.get(name) for name in _ENDPOINTS)
    if not wanted or os.environ.get(_DISABLED, "").lower() == "true":
        return {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    if find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter") is None:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and what sends traces is not installed. "
            "Type: pip install 'twinlock[otel]'"
        )
    return {
        "tracing": True,
        "tracer_provider": _provider(),
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from twinlock.telemetry.scrubbing import WithoutPaths

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", _SERVICE)})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(WithoutPaths())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
