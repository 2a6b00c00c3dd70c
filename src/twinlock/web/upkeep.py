"""What a running server does besides answering: chains and counts events, clears away."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from twinlock.accounts.password_check import PasswordCheck
from twinlock.core.errors import TwinlockError
from twinlock.flows import chaining, maintenance, tallying
from twinlock.flows.parts import Parts
from twinlock.web.rounds import Rounds

log = logging.getLogger("twinlock.web")

PERIOD_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 0.05
"""Between two transactions, many times as long as one takes."""
_RUNS_PER_COUNT: Final = 2
"""Password schemes are counted at every second run."""


class DueWork(Protocol):
    """Something that waits for its time. Several processes may do it at once."""

    def work(self, *, now: datetime) -> int:
        """Do what is due, and return how much that was."""
        ...


class Upkeep:
    """Works every few minutes on a thread of its own, from start to close."""

    def __init__(
        self,
        parts: Parts,
        password_check: PasswordCheck,
        due_work: Sequence[DueWork],
        *,
        at_end: DueWork,
        keep_events: timedelta,
    ) -> None:
        """Prepare.

        Args:
            parts: The installation.
            password_check: Gets the proportions in which accounts hold schemes of hashes.
            due_work: Does what waited for its time.
            at_end: Does the same, and once more before the end: what only memory holds.
            keep_events: How long audit events are kept.
        """
        self._parts = parts
        self._password_check = password_check
        self._due_work = (*due_work, at_end)
        self._at_end = at_end
        self._keep_events = keep_events
        self._runs = 0
        self._rounds = Rounds(
            self.work, every_seconds=PERIOD_SECONDS, name="upkeep", failed="upkeep_failed"
        )

    @property
    def is_running(self) -> bool:
        """Whether its thread was started and has not ended."""
        return self._rounds.are_running

    def start(self) -> None:
        """Start the thread; its first work comes after the first period."""
        self._rounds.start()

    def close(self) -> None:
        """Stop between two transactions and wait for the thread's end."""
        self._rounds.close()

    def work_at_end(self) -> None:
        """Do what would be lost with this process; a database that is away loses it."""
        try:
            self._at_end.work(now=self._parts.clock())
        except TwinlockError as error:
            log.warning("upkeep_failed", extra={"error": type(error).__name__})

    def work(self) -> None:
        """Do what is due once.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        self._runs += 1
        if self._parts.accounts.are_ours and self._runs % _RUNS_PER_COUNT == 0:
            self._password_check.set_proportions(maintenance.count_schemes(self._parts))
        now = self._parts.clock()
        for one in self._due_work:
            one.work(now=now)
        pause = partial(self._rounds.closing.wait, _PAUSE_SECONDS)
        chaining.extend(self._parts, now=now, pause=pause)
        tallying.count_hours(self._parts, now=now, pause=pause)
        deleted = maintenance.clean_up(
            self._parts, keep_events=self._keep_events, now=now, pause=pause
        )
        if any(deleted.values()):
            log.info("expired_rows_deleted", extra=dict(deleted))
