"""Starting while the database is away: requests are refused, and the start is tried again.

A machine that comes up before its database, or a worker that is replaced during an outage, has
to serve by itself when the database is back, without anybody who starts it again.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twinlock.core.errors import DatabaseUnavailableError, TwinlockError

log = logging.getLogger("twinlock.web")

AGAIN_SECONDS: Final = 1.0


class LateStart:
    """Starts once a second, on a thread of its own, until that succeeds or it is stopped."""

    def __init__(self, start: Callable[[], object], *, because: DatabaseUnavailableError) -> None:
        """Begin to try.

        Args:
            start: Starts, or raises a `TwinlockError`.
            because: Why the first try failed.
        """
        self._start = start
        self._told = ""
        self._stopped = threading.Event()
        self._tell(because)
        self._thread = threading.Thread(target=self._run, name="twinlock-start", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up and wait for the thread's end; what was started by then stays started."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(AGAIN_SECONDS):
            try:
                self._start()
            except TwinlockError as error:
                self._tell(error)
            except Exception:
                log.exception("start_failed")
            else:
                log.info("started_late")
                return

    def _tell(self, error: TwinlockError) -> None:
        """Say in the log why it waits, once for each reason."""
        reason = f"{type(error).__name__}: {error}"
        if reason == self._told:
            return
        self._told = reason
        if isinstance(error, DatabaseUnavailableError):
            log.warning("start_waits_for_database", extra={"error": type(error).__name__})
        else:  # it is back, and not the one that belongs to these keys and this program
            log.error("start_failed", extra={"error": type(error).__name__, "reason": str(error)})


def may_come_back(database_url: str) -> bool:
    """Tell whether a database that does not answer is one to wait for.

    A server elsewhere is; an SQLite file is only if it is there at all.
    """
    kind, _, rest = database_url.partition(":///")
    return not kind.startswith("sqlite") or Path(rest.partition("?")[0]).is_file()
