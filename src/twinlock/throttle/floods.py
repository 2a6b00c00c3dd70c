"""Counts that keep refusing a flood, so that each of its tries costs no look at the database.

A refused try changes nothing in its count: until the wait is over, the next is refused as well,
whoever it is for. A process remembers that for a second at most, and only of a count that was
asked many times within a second: whoever tries now and then is looked at each time. What was
refused from here is told with the next refusal that the database gave.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from twinlock.throttle.policy import Throttled

CAPACITY: Final = 4_096
"""Each of them was filled by as many tries as its limit allows, all counted in the database."""
FLOOD: Final = 8
"""Refusals of one count within a second that make the next ones come from memory."""
SECONDS: Final = 0.9
_PROBE_SECONDS: Final = 0.1
"""How long the others still wait for the one try that asks the database again."""
_LASTS_SECONDS: Final = 10.0
"""How soon after a flood one refusal is enough to know it again."""
_NOTHING: Final = timedelta(0)


Who = TypeVar("Who")
"""What tells who tried; nothing here looks into it."""


@dataclass(frozen=True, slots=True)
class Untold(Generic[Who]):
    """Tries refused from memory of which no event tells yet."""

    key: bytes
    by: Who
    times: int


@dataclass(slots=True)
class _Refusing(Generic[Who]):
    """One count.

    Attributes:
        by: Who tried last of those that the database refused.
        ends_at: When the database would let a try through again.
        wait: How long that was when the database said it.
        since: When the second began in which *asked* tries were refused.
        until: Up to when memory answers.
        untold: Tries refused from memory of which no event tells yet.
    """

    by: Who
    ends_at: datetime
    wait: timedelta
    since: float
    asked: int = 0
    until: float = 0.0
    untold: int = 0


class Floods(Generic[Who]):
    """The counts that refuse just now, from any thread."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        """Remember up to *capacity* counts; a new one replaces the one unused for longest."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._refusing: dict[bytes, _Refusing[Who]] = {}  # the latest look at the database last

    def __len__(self) -> int:
        return len(self._refusing)

    def note(self, key: bytes, throttled: Throttled, by: Who, *, now: datetime, at: float) -> int:
        """Remember that the database refused; return how many refusals this one's event counts.

        Args:
            key: What is counted.
            throttled: What the database said.
            by: Who tried.
            now: The moment that the wait counts from.
            at: The same on a monotonic clock, in seconds.
        """
        wait = throttled.retry_after
        with self._lock:
            one = self._refusing.pop(key, None)
            if one is None:
                if len(self._refusing) >= self._capacity:
                    del self._refusing[next(iter(self._refusing))]
                one = _Refusing(by, now + wait, wait, since=at)
            self._refusing[key] = one
            one.by, one.ends_at, one.wait = by, now + wait, wait
            is_flood = one.asked >= FLOOD and at - one.since < _LASTS_SECONDS
            if at - one.since >= SECONDS:
                one.since, one.asked = at, 0
            one.asked += 1
            if is_flood or one.asked >= FLOOD:
                one.until = at + min(SECONDS, wait.total_seconds())
            told, one.untold = one.untold + 1, 0
            return told

    def refused(self, key: bytes, *, now: datetime, at: float) -> Throttled | None:
        """Refuse a try if the database would; None says nothing.

        A clock that was set back makes no wait longer than the database said.
        """
        one = self._refusing.get(key)
        if one is None or at >= one.until:
            return None
        left = one.ends_at - now
        if left <= _NOTHING:
            return None
        with self._lock:
            one.asked += 1
            one.untold += 1
        return Throttled(min(left, one.wait), key)

    def take_untold(self) -> list[Untold[Who]]:
        """Return the refusals of which no event tells yet, and take them as told."""
        with self._lock:
            found = [
                Untold(key, one.by, one.untold) for key, one in self._refusing.items() if one.untold
            ]
            for each in found:
                self._refusing[each.key].untold = 0
        return found

    def ask(self, key: bytes, *, at: float) -> None:
        """Let this one try ask the database; memory still refuses those that come meanwhile."""
        one = self._refusing.get(key)
        if one is None:
            return
        with self._lock:
            if one.until <= at < one.until + SECONDS:
                one.until = at + _PROBE_SECONDS

    def forget(self, key: bytes) -> None:
        """Let the next try ask the database again: one was given back."""
        one = self._refusing.get(key)
        if one is not None:
            one.until = 0.0
