"""The only place where the clock is read."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

Clock = Callable[[], datetime]
"""A source of the present moment: aware, in UTC."""


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


monotonic: Final = time.monotonic
"""Gives seconds from a clock that never steps, for measuring spans only."""
