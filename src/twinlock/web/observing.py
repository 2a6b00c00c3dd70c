"""Who watches an installation at work: what metrics are made from."""

from collections.abc import Sequence
from typing import Protocol


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
