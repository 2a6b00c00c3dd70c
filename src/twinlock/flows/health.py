"""Whether this process can do its work: database answers and takes writes, keys usable."""

import threading
from dataclasses import dataclass

from twinlock.core.errors import TwinlockError
from twinlock.flows.installation import open_installation
from twinlock.flows.keys import Keys
from twinlock.flows.parts import Parts
from twinlock.installation import store


@dataclass(frozen=True, slots=True)
class Readiness:
    """What works and what does not; the reason stays in the log.

    Attributes:
        database: Whether it answers and takes writes. Where nothing can be recorded, nobody can
            sign in: each try is counted before it is looked at.
    """

    database: bool
    keys: bool

    @property
    def is_ready(self) -> bool:
        """Whether everything works."""
        return self.database and self.keys


class Health:
    """Looks at the parts that nothing works without."""

    def __init__(self, parts: Parts, keys: Keys) -> None:
        self._parts = parts
        self._keys = keys
        self._writing = threading.Lock()
        self._takes_writes = True

    def look(self) -> Readiness:
        """Return what works."""
        try:
            takes_writes = self._try_to_write()
            open_installation(self._parts.database, self._parts.keyring)
        except TwinlockError:
            return Readiness(database=False, keys=False)
        if not takes_writes:
            return Readiness(database=False, keys=True)
        try:
            self._keys.list_keys()
            self._keys.current()
        except TwinlockError:
            return Readiness(database=True, keys=False)
        return Readiness(database=True, keys=True)

    def _try_to_write(self) -> bool:
        """Commit a row; tell whether that was done.

        One at a time: whoever asks meanwhile gets the last result, so that a flood of questions
        costs no more than one writer.
        """
        if not self._writing.acquire(blocking=False):
            return self._takes_writes
        try:
            self._parts.database.transaction_once(store.touch_installation)
            self._takes_writes = True
        except TwinlockError:
            self._takes_writes = False
        finally:
            self._writing.release()
        return self._takes_writes
