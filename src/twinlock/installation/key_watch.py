"""Tells a running process when ``twinlock secret rotate`` has changed the key file."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from twinlock.core.errors import TwinlockError

log = logging.getLogger("twinlock.installation")


class KeyFileWatch:
    """Gives the keys when the file is another than at the last look: what a `Keyring` asks.

    A look that finds nothing new costs one ``stat``. Keys that cannot be read are logged once
    for each state of the file, and change nothing for the process.
    """

    def __init__(self, path: Path, read: Callable[[], Sequence[bytes]]) -> None:
        """Take the file as it is now for known.

        Args:
            path: The key file; a link is followed.
            read: Reads its keys, with whatever is demanded of it.
        """
        self._path = path
        self._read = read
        self._seen = self._state()

    def __call__(self) -> Sequence[bytes] | None:
        """Return all keys, newest first, or None where nothing changed or nothing can be read."""
        state = self._state()
        if state == self._seen:
            return None
        self._seen = state  # noted before reading, so that a change meanwhile is seen next time
        try:
            return self._read()
        except TwinlockError as error:
            log.error("key_file_unusable", extra={"error": str(error)})
            return None

    def _state(self) -> tuple[int, ...] | None:
        """Return what differs after any change of content, mode or owner; None without a file."""
        try:
            facts = os.stat(self._path)  # noqa: PTH116 - asked for every unknown key id
        except OSError:
            return None
        return facts.st_dev, facts.st_ino, facts.st_ctime_ns, facts.st_size
