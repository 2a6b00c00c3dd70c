"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from typing import Final

NOON: Final = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)


class MovableClock:
    """Gives the same moment until it is moved."""

    def __init__(self, now: datetime = NOON) -> None:
        """Stand still at *now*."""
        self.now = now

    def __call__(self) -> datetime:
        """Return the present moment."""
        return self.now

    def advance(self, **span: float) -> datetime:
        """Move on and return the new present.

        Args:
            span: The units of a `timedelta`, as ``minutes=5``.
        """
        self.now += timedelta(**span)
        return self.now
