"""The only place where the clock is read."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

Clock = Callable[[], datetime]
"""A source of the present moment: aware, in UTC."""


utc_now: Final[Clock] = partial(datetime.now, UTC)
"""Returns the present moment in UTC: without a frame of its own, as each request asks for it."""

monotonic: Final = time.monotonic
"""Gives seconds from a clock that never steps, for measuring spans only."""


def seconds_of(source: Clock) -> Callable[[], float]:
    """Return the same source in seconds since 1970, without a `datetime` if it is the system's."""
    return time.time if source is utc_now else lambda: source().timestamp()


class _InOrder:
    """Gives things that begin at the same moment different times, in the order of the calls."""

    _TICK: Final = timedelta(microseconds=1)
    _SAME: Final = timedelta(milliseconds=10)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=UTC)

    def __call__(self, now: datetime) -> datetime:
        """Return *now*, or a microsecond after the last answer where that was the same moment."""
        with self._lock:
            is_same = timedelta(0) <= self._last - now < self._SAME
            self._last = self._last + self._TICK if is_same else now
            return self._last


in_order: Final = _InOrder()
"""Gives when something began that is kept up to a number, so that the oldest is one of them."""
