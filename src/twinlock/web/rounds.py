"""Work that a running server does again and again, each kind on a thread of its own."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from twinlock.core.errors import TwinlockError

log = logging.getLogger("twinlock.web")

_THREAD: Final = "twinlock-"


class Rounds:
    """Does one round after the other, from start to close. A round that fails is logged.

    Attributes:
        closing: Set when the end is wanted, so that a long round can stop early.
    """

    def __init__(
        self, work: Callable[[], object], *, every_seconds: float, name: str, failed: str
    ) -> None:
        """Prepare.

        Args:
            work: Does one round.
            every_seconds: How long to wait before each round, the first one included.
            name: What the thread is called, behind ``twinlock-``.
            failed: What the log says of a round that failed.
        """
        self._work = work
        self._every_seconds = every_seconds
        self._name = name
        self._failed = failed
        self._thread: threading.Thread | None = None
        self.closing = threading.Event()

    @property
    def are_running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self.closing.clear()
        self._thread = threading.Thread(target=self._run, name=_THREAD + self._name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the round that is under way, and for the thread's end."""
        self.closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self.closing.wait(self._every_seconds):
            try:
                self._work()
            except TwinlockError as error:
                log.warning(self._failed, extra={"error": type(error).__name__})
            except Exception:
                log.exception(self._failed)
