"""The worker that delivers mail, on a thread of its own, so that no request waits for a mail."""

import threading
from typing import Final

from twinlock.core.clock import Clock
from twinlock.flows.delivering import Delivering
from twinlock.web.rounds import Rounds

PERIOD_SECONDS: Final = 1.0


class Delivery:
    """Looks into the outbox every second, from start to close."""

    def __init__(self, delivering: Delivering, clock: Clock) -> None:
        self._delivering = delivering
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._rounds = Rounds(
            self._deliver, every_seconds=PERIOD_SECONDS, name="mail", failed="delivery_failed"
        )

    def start(self) -> None:
        """Start the thread; its first work comes after the first period."""
        self._rounds.start()

    def close(self) -> None:
        """Stop between two mails and wait for the thread's end."""
        self._rounds.close()

    def work(self) -> int:
        """Deliver what is due once; return how many mails that were.

        What the thread is delivering meanwhile is delivered, too, when this returns.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        with self._one_at_a_time:
            return self._delivering.deliver_due(self._clock, stop=lambda: False)

    def _deliver(self) -> None:
        with self._one_at_a_time:
            self._delivering.deliver_due(self._clock, stop=self._rounds.closing.is_set)
