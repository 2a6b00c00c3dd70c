"""The worker that delivers mail, on a thread of its own, so that no request waits for a mail."""

import logging
import threading
from typing import Final

from twinlock.core.clock import Clock
from twinlock.core.errors import TwinlockError
from twinlock.flows.delivering import Delivering

log = logging.getLogger("twinlock.web")

PERIOD_SECONDS: Final = 1.0


class Delivery:
    """Looks into the outbox every second, from start to close."""

    def __init__(self, delivering: Delivering, clock: Clock) -> None:
        self._delivering = delivering
        self._clock = clock
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Start the thread; its first work comes after the first period."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="twinlock-mail", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop between two mails and wait for the thread's end."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def work(self) -> int:
        """Deliver what is due once; return how many mails that were.

        What the thread is delivering meanwhile is delivered, too, when this returns.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        with self._one_at_a_time:
            return self._delivering.deliver_due(self._clock, stop=lambda: False)

    def _run(self) -> None:
        while not self._stopped.wait(PERIOD_SECONDS):
            try:
                with self._one_at_a_time:
                    self._delivering.deliver_due(self._clock, stop=self._stopped.is_set)
            except TwinlockError as error:
                log.warning("delivery_failed", extra={"error": type(error).__name__})
            except Exception:
                log.exception("delivery_failed")
