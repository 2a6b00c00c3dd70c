"""The signing keys as this process knows them, and their rotation."""

import threading
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core import clock
from twinlock.core.principal import User
from twinlock.flows.acting import transaction_of
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions
from twinlock.tokens import rotation, store
from twinlock.tokens.signing_keys import KeySet, ReloadTurns, StoredKey

_MARK: Final = "signing-keys"
"""The keys have a mark like a session's, that changes with every rotation."""


class Keys:
    """Holds the key set in memory and replaces it as a whole."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._turns = ReloadTurns()
        self._set: KeySet | None = None
        self._mark = 0

    def current(self) -> KeySet:
        """Return the keys, read anew where another process of this machine changed them."""
        if self._set is not None and self._mark == self._parts.marks.read(_MARK):
            return self._set
        return self.load(now=self._parts.clock())

    def load(self, *, now: datetime) -> KeySet:
        """Read the keys anew; makes the first one in an installation that has none.

        Raises:
            SealBrokenError: The active key does not open.
        """
        with self._lock:
            self._mark = self._parts.marks.read(_MARK)
            self._parts.database.transaction(rotation.ensure_active, self._parts.keyring, now=now)
            self._set = self._parts.database.reading(
                rotation.load,
                self._parts.keyring,
                now=now,
                token_lifetime=self._parts.lifetimes.access_token,
            )
            return self._set

    def reload_for_unknown(self, *, now: datetime) -> KeySet:
        """Return the keys, read anew at most once a second, for a token of an unknown key."""
        if self._turns.take(at=clock.monotonic()):
            return self.load(now=now)
        return self.current()

    def refresh_if_changed(self, *, now: datetime) -> bool:
        """Load the keys anew if another process rotated or retired one; tell whether it did."""
        if self._set is None:
            return False
        usable = self._parts.database.reading(
            rotation.load,
            self._parts.keyring,
            now=now,
            token_lifetime=self._parts.lifetimes.access_token,
        )
        is_changed = usable.active.kid != self._set.active.kid or set(usable.verification) != set(
            self._set.verification
        )
        if is_changed:
            self._set = usable
        return is_changed

    def list_keys(self) -> list[StoredKey]:
        """Return every key, the newest first."""
        return self._parts.database.reading(store.find_all)

    def rotate(self, caller: Caller, *, admin: User | None = None, now: datetime) -> KeySet:
        """Sign with a new key from now on; the old one's tokens live on.

        Raises:
            NoLongerAdminError: The *admin* who asks for it is one no longer.
        """
        transaction_of(admin, self._parts, self._rotate, caller, now=now)
        self._parts.marks.bump([_MARK])
        return self.load(now=now)

    def retire(self, kid: str, caller: Caller, *, admin: User | None = None, now: datetime) -> bool:
        """Accept a key's tokens no longer; False when it signs, is retired, or is unknown.

        Raises:
            NoLongerAdminError: The *admin* who asks for it is one no longer.
        """
        if not transaction_of(admin, self._parts, self._retire, kid, caller, now=now):
            return False
        self._parts.marks.bump_all()
        self.load(now=now)
        return True

    def _rotate(self, tx: Connection, caller: Caller, *, now: datetime) -> None:
        if rotation.rotate(tx, self._parts.keyring, now=now):
            audit.record(tx, Event(EventType.KEY_ROTATED, now, caller))

    def _retire(self, tx: Connection, kid: str, caller: Caller, *, now: datetime) -> bool:
        if not store.retire(tx, kid, now=now):
            return False
        sessions.mark_every_changed(tx)
        audit.record(tx, Event(EventType.KEY_RETIRED, now, caller, details={"kid": kid}))
        return True
