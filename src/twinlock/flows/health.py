"""Whether this process can do its work: database reachable, keys usable."""

from dataclasses import dataclass

from twinlock.core.errors import TwinlockError
from twinlock.flows.installation import open_installation
from twinlock.flows.keys import Keys
from twinlock.flows.parts import Parts


@dataclass(frozen=True, slots=True)
class Readiness:
    """What works and what does not; the reason stays in the log."""

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

    def look(self) -> Readiness:
        """Return what works."""
        try:
            open_installation(self._parts.database, self._parts.keyring)
        except TwinlockError:
            return Readiness(database=False, keys=False)
        try:
            self._keys.list_keys()
            self._keys.current()
        except TwinlockError:
            return Readiness(database=True, keys=False)
        return Readiness(database=True, keys=True)
