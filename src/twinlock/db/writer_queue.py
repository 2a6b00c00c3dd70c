"""The queue of those who write to an SQLite file: one at a time, and none waits for ever."""

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Final

from twinlock.core import clock
from twinlock.core.errors import DatabaseUnavailableError

if sys.platform != "win32":
    import fcntl

_STUCK: Final = "the writers' queue does not move"


class WriterQueue:
    """Lets one writer at a time reach an SQLite file.

    Threads queue on a lock, processes on ``flock`` of a file beside the database.
    """

    def __init__(self, path: Path, *, patience: float) -> None:
        """Prepare; the file is made by the first writer.

        Args:
            path: The file to lock.
            patience: Seconds that a writer waits for its turn.
        """
        self._lock = threading.Lock()
        self._path = path
        self._patience = patience
        self._file: _LockedFile | None = None

    def __enter__(self) -> None:
        """Wait for the turn.

        Raises:
            DatabaseUnavailableError: It did not come in time.
        """
        until = clock.monotonic() + self._patience
        if not self._lock.acquire(timeout=self._patience):
            raise DatabaseUnavailableError(_STUCK)
        try:
            self._lock_file(until)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.release()
        self._lock.release()

    def _lock_file(self, until: float) -> None:
        if sys.platform == "win32":
            return  # there, one process at a time may serve an SQLite file
        if self._file is None or self._file.pid != os.getpid():
            # A file opened before a fork would share its lock with the parent.
            self._file = _LockedFile(self._path)
        if not self._file.acquire(until - clock.monotonic()):
            raise DatabaseUnavailableError(_STUCK)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class NoQueue:
    """The same for a database that orders its writers itself: it lets everybody pass."""

    def __enter__(self) -> None:
        """Wait for nobody."""

    def __exit__(self, *exc_info: object) -> None:
        """Let nobody in."""

    def close(self) -> None:
        """Close nothing."""


class _LockedFile:
    """A file that one process at a time has locked; one thread at a time asks for it.

    ``flock`` knows no deadline, and trying again and again would let others overtake. So while
    another process holds the lock, a helper thread waits in ``flock``. The caller gives up by the
    clock. The helper gives the lock back when it gets it, unless a later caller wants it by then.
    """

    def __init__(self, path: Path) -> None:
        self.pid = os.getpid()
        self._state = threading.Lock()
        self._granted: threading.Event | None = None
        self._is_wanted = True
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.geteuid() == 0:  # what root does here is done for the folder's owner
                os.fchown(self._file, path.parent.stat().st_uid, -1)
        except OSError as error:
            raise DatabaseUnavailableError(f"cannot open {path}") from error

    def acquire(self, patience: float) -> bool:
        """Return whether the lock was got within *patience* seconds."""
        with self._state:
            if self._granted is None:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                self._granted = threading.Event()
                threading.Thread(
                    target=self._wait, args=(self._granted,), name="twinlock-writer", daemon=True
                ).start()
            self._is_wanted = True
            granted = self._granted
        granted.wait(max(patience, 0))
        with self._state:
            if not granted.is_set():
                self._is_wanted = False
                return False
            self._granted = None
            return True

    def release(self) -> None:
        """Let the next process in."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; a thread that still waits for it holds it until then."""
        with self._state:
            if self._granted is None:
                os.close(self._file)

    def _wait(self, granted: threading.Event) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with self._state:
            if self._is_wanted:
                granted.set()
            else:
                self._granted = None
                fcntl.flock(self._file, fcntl.LOCK_UN)
