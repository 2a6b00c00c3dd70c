"""What a process counts, for Prometheus; needs the extra ``twinlock[metrics]``.

No label holds a name, an address, an id or a path: routes are told by their templates, events by
their types.
"""

from collections.abc import Sequence
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from twinlock.audit.events import Event

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "other"
"""What a client made up: a method or a path that nothing here has."""


class Metrics:
    """Counts what it is told as an observer: of an installation, and of a server's requests.

    Give it to `Twinlock.observe`; several processes that share
    ``PROMETHEUS_MULTIPROC_DIR`` are summed by prometheus_client.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Register the metrics.

        Raises:
            ValueError: *registry* has metrics of these names already.
        """
        self._events = Counter(
            "twinlock_events",
            "Security events by type, factor and reason, as in the reference of events.",
            ["type", "method", "reason"],
            registry=registry,
        )
        self._requests = Counter(
            "twinlock_http_requests",
            "Answered requests by the template of their route.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "twinlock_http_request_seconds",
            "From a request's first byte to its answer's last.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._hashes = Gauge(
            "twinlock_password_hashes",
            "Password hashes that run or wait.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._places = Gauge(
            "twinlock_password_hash_places",
            "How many may run or wait: one more is answered 503.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._looked_at = Gauge(
            "twinlock_database_look_timestamp_seconds",
            "When the process that is furthest behind last read changes from the database. "
            "After five seconds without, memory is not believed, and requests are answered 503.",
            multiprocess_mode="livemin",
            registry=registry,
        )

    def committed(self, events: Sequence[object]) -> None:
        """Count audit events."""
        for event in events:
            if isinstance(event, Event):
                self._events.labels(
                    type=str(event.type),
                    method=event.method or "",
                    reason="" if event.reason is None else str(event.reason),
                ).inc(event.times)

    def looked_around(self, *, hashes: int, places: int) -> None:
        """Note the process's look at the database, and how many hashes it has to do."""
        self._looked_at.set_to_current_time()
        self._hashes.set(hashes)
        self._places.set(places)

    def answered(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request."""
        shown = route if route is not None else _OTHER
        verb = method if method in _METHODS else _OTHER
        self._requests.labels(method=verb, route=shown, status=str(status)).inc()
        self._seconds.labels(route=shown).observe(seconds)
