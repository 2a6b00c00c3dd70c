"""Who watches an installation at work: what metrics are made from."""

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

log = logging.getLogger("twinlock.hooks")


class Observer(Protocol):
    """Is told what happens in one process; it returns at once, and never raises."""

    def committed(self, events: Sequence[object]) -> None:
        """Take what a transaction noted, behind its commit: audit events among it."""
        ...

    def looked_around(self, *, hashes: int, places: int) -> None:
        """Take the look at the database that every process has once a second.

        Args:
            hashes: Password hashes that run or wait.
            places: How many may do so at a time.
        """
        ...


class RequestObserver(Protocol):
    """Is told of each request that was answered."""

    def answered(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        """Take a request; *route* is the template of its path, None where there is none."""
        ...


def tell(observers: Iterable[Observer], events: Sequence[object]) -> None:
    """Tell of a commit; what an observer raises is logged, and changes no answer.

    Behind a commit comes what ends sessions in every process: nothing may keep it from that.
    """
    for observer in observers:
        try:
            observer.committed(events)
        except Exception as error:
            name = type(observer).__qualname__
            log.error("observer_failed", exc_info=error, extra={"observer": name})
