"""The only place where the clock is read."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

Clock = Callable[[], datetime]
"""A source of the present moment: aware, in UTC."""


utc_now: Final[Clock] = partial(datetime.now, UTC)
"""Returns the present moment in UTC: without a frame of its own, as each request asks for it."""

monotonic: Final = time.monotonic
"""Gives seconds from a clock that never steps, for measuring spans only."""
