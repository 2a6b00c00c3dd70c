"""Rotating the master keys while servers run, interrupted and resumed at any point.

    add_key            a new key stands first in the key file; from now on everyone seals with it
      │                (a server looks at the file once a second and for every unknown key id)
    reseal             batch by batch: what factors keep, seals of accounts and of sessions, signing
      │                keys, again and again until a whole round finds nothing old
      └─ the row of the installation, last: while it is old, the rotation is unfinished
    drop_old_keys      once no refresh token and no pending ceremony needs them any more

Each value is replaced only where it is still the one that was read, and a value that does not
open is left as it is: sealing it again would hide what somebody did to it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.accounts.resets import store as resets
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import InstallationError, NotInitializedError
from twinlock.core.keyring import Keyring
from twinlock.devices import store as devices
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows import mailing
from twinlock.flows.checkup import (
    KeepsSecrets,
    Progress,
    SubjectRow,
    find_broken_signing_keys,
    fraction_of,
    is_seal_broken,
    list_subjects,
)
from twinlock.flows.installation import reseal_installation
from twinlock.flows.parts import Parts
from twinlock.installation import key_file
from twinlock.installation import store as installation
from twinlock.pending import store as pending
from twinlock.sessions import store as sessions
from twinlock.tokens import rotation as signing_keys

log = logging.getLogger("twinlock.rotation")

BATCH: Final = 100
NOTICE: Final = timedelta(minutes=1)
"""After this long every server has noticed a new key, and its last old transaction is over."""
_MAX_ROUNDS: Final = 5
_PAUSE_SECONDS: Final = 0.01
"""Between two transactions, so that logins get the writers' queue in between."""


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a rotation did.

    Attributes:
        values: How many values are under the newest key since.
        broken: What does not open, and was left as it is.
    """

    values: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OldKeyUses:
    """What can only be opened while the older master keys are there.

    Attributes:
        sessions: Living sessions whose refresh token was issued under an older key.
        pending: Enrollments and logins under way whose state was sealed under one.
    """

    sessions: int
    pending: int

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return self.sessions > 0 or self.pending > 0


class SecretRotation:
    """Brings everything at rest under a new master key."""

    def __init__(
        self, parts: Parts, *, batch: int = BATCH, pause: Callable[[], object] | None = None
    ) -> None:
        """Prepare.

        Args:
            parts: The installation.
            batch: Values of one transaction.
            pause: Called between two transactions; by default a hundredth of a second.
        """
        self._parts = parts
        self._batch = batch
        self._pause = pause or (lambda: threading.Event().wait(_PAUSE_SECONDS))

    def is_unfinished(self) -> bool:
        """Tell whether something may still be sealed under an older key."""
        row = self._parts.database.reading(installation.get_installation)
        if row is None:
            raise NotInitializedError("this database was never initialised: run `twinlock init`")
        return self._parts.keyring.is_stale_seal(row.key_check)

    def add_key(self, path: Path, *, newest: bytes) -> None:
        """Put a new key before all others in the key file; of several at once one does.

        Args:
            path: The key file.
            newest: The key that sealed everything so far.

        Raises:
            InstallationError: The system does not let us write there.
            ConfigurationError: It is no key file.
        """
        keys = key_file.add_key_to_file(path, expected_newest=newest)
        self._parts.keyring.look_again()
        if self._parts.keyring.newest_id != Keyring(keys).newest_id:
            raise InstallationError(f"The key file {path} has a new key, and cannot be read.")

    def reseal(self, caller: Caller, *, progress: Progress) -> Resealed:
        """Bring everything under the newest key; goes on where an earlier run was stopped.

        Raises:
            InstallationError: Something is being sealed under an older key over and over.
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        values = 0
        for number in range(_MAX_ROUNDS):
            resealed, broken = self._round(progress if number == 0 else lambda fraction: None)
            values += resealed
            if resealed == 0:
                return self._finish(Resealed(values, broken), caller)
        raise InstallationError(
            "a server still seals with an older master key. Give every machine the same keys in "
            "the same order, restart the servers, and run `twinlock secret rotate` again."
        )

    def time_to_wait(self, path: Path, *, now: datetime) -> timedelta:
        """Return how long until nobody writes under the key before the newest any more."""
        changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return max(timedelta(0), NOTICE - (now - changed_at))

    def uses_of_old_keys(self, *, now: datetime) -> OldKeyUses:
        """Return what would be lost if the older keys were dropped now."""
        return self._parts.database.reading(self._uses_of_old_keys, now=now)

    def drop_old_keys(self, path: Path, newest: bytes, caller: Caller, *, now: datetime) -> int:
        """Remove all keys but *newest* from the key file; return how many they were.

        Call it only when a round of `reseal` found nothing old.

        Raises:
            InstallationError: The system does not let us write there.
            ConfigurationError: The file no longer holds *newest*.
        """
        dropped = key_file.remove_old_keys(path, older_than=newest)
        self._parts.keyring.look_again()
        if dropped:
            self._parts.database.transaction(_record, caller, {"dropped": dropped}, now=now)
        return dropped

    def _round(self, progress: Progress) -> tuple[int, tuple[str, ...]]:
        factors = [factor for factor in self._parts.factors if isinstance(factor, KeepsSecrets)]
        parts = len(factors) + 2
        values = self._parts.database.transaction(signing_keys.reseal, self._parts.keyring)
        values += self._parts.database.transaction(self._parts.policies.reseal)
        values += self._reseal_rows(devices.reseal_devices)
        values += self._reseal_rows(resets.reseal_resets)
        broken = [f"signing key {kid}" for kid in find_broken_signing_keys(self._parts)]
        for number, factor in enumerate(factors):
            resealed, left = self._reseal_factor(factor, _part(progress, number, of=parts))
            values += resealed
            broken += left
        resealed, left = self._reseal_subjects(_part(progress, parts - 2, of=parts))
        values += resealed + self._reseal_sessions(_part(progress, parts - 1, of=parts))
        return values + self._reseal_mails(), (*broken, *left)

    def _reseal_factor(self, factor: KeepsSecrets, progress: Progress) -> tuple[int, list[str]]:
        values, after = 0, ""
        broken: list[str] = []
        while batch := self._parts.database.transaction(
            factor.reseal, after=after, limit=self._batch
        ):
            values += batch.resealed
            broken += [f"{factor.method} {one}" for one in batch.broken]
            after = batch.last
            progress(fraction_of(after))
            self._pause()
        return values, broken

    def _reseal_rows(self, reseal: Callable[..., tuple[int, str]]) -> int:
        """Seal the rows of one store again, batch by batch."""
        values, after = 0, ""
        while True:
            resealed, after = self._parts.database.transaction(
                reseal, self._parts.keyring, after=after, limit=self._batch
            )
            values += resealed
            if not after:
                return values
            self._pause()

    def _reseal_subjects(self, progress: Progress) -> tuple[int, list[str]]:
        values, after = 0, ""
        broken: list[str] = []
        while rows := self._parts.database.reading(list_subjects, after=after, limit=self._batch):
            stale = [row for row in rows if self._parts.keyring.is_stale_mac(row.seal)]
            if stale:
                resealed, left = self._parts.database.transaction(self._reseal_stale, stale)
                values += resealed
                broken += left
                self._pause()
            after = rows[-1].id
            progress(fraction_of(after))
        return values, broken

    def _reseal_sessions(self, progress: Progress) -> int:
        """Seal living sessions again; one whose seal does not hold is dead already."""
        values, after, now = 0, "", self._parts.clock()
        while rows := self._parts.database.reading(
            sessions.list_living, after=after, limit=self._batch, now=now
        ):
            stale = [row for row in rows if self._parts.keyring.is_stale_mac(row.seal)]
            if stale:
                values += self._parts.database.transaction(self._reseal_stale_sessions, stale)
                self._pause()
            after = rows[-1].id
            progress(fraction_of(after))
        return values

    def _reseal_mails(self) -> int:
        """Seal waiting mails again."""
        values, after = 0, ""
        while True:
            after, resealed = self._parts.database.transaction(
                mailing.reseal, self._parts, after=after, limit=self._batch
            )
            values += resealed
            if not after:
                return values
            self._pause()

    def _reseal_stale_sessions(self, tx: Connection, rows: Sequence[Row[Any]]) -> int:
        return sum(sessions.reseal_session(tx, self._parts.keyring, row) for row in rows)

    def _reseal_stale(self, tx: Connection, rows: list[SubjectRow]) -> tuple[int, list[str]]:
        values = 0
        broken: list[str] = []
        for row in rows:
            if self._is_resealed(tx, row):
                values += 1
            elif is_seal_broken(tx, self._parts, row):
                log.critical("seal_broken", extra={"subject": row.id})
                broken.append(f"subject {row.id}")
        return values, broken

    def _is_resealed(self, tx: Connection, row: SubjectRow) -> bool:
        """Seal a subject again; False if it changed since it was read, or does not hold."""
        seal = authenticators.renewed_seal(
            tx,
            self._parts.keyring,
            account=row.id,
            generation=row.generation,
            seal=row.seal,
            awaits_enrollment=row.awaits_enrollment,
        )
        return seal is not None and subjects.reseal(tx, row.id, old_seal=row.seal, new_seal=seal)

    def _finish(self, done: Resealed, caller: Caller) -> Resealed:
        values = self._parts.database.transaction(
            self._reseal_installation, done, caller, now=self._parts.clock()
        )
        return Resealed(done.values + values, done.broken)

    def _reseal_installation(
        self, tx: Connection, done: Resealed, caller: Caller, *, now: datetime
    ) -> int:
        values = reseal_installation(tx, self._parts.keyring)
        if values:
            details = {"values": done.values + values, "broken": len(done.broken)}
            _record(tx, caller, details, now=now)
        return values

    def _uses_of_old_keys(self, db: Connection, *, now: datetime) -> OldKeyUses:
        rotated = audit.list_events(db, limit=1, type_=EventType.SECRET_ROTATED)
        before = rotated[0].at + NOTICE if rotated else now
        return OldKeyUses(
            sessions=sessions.count_with_older_tokens(db, before=before, now=now),
            pending=pending.count_with_older_state(db, before=before, now=now),
        )


def _part(progress: Progress, number: int, *, of: int) -> Progress:
    """Return what reports the progress of one part as progress of the whole."""
    return lambda done: progress((number + done) / of)


def _record(tx: Connection, caller: Caller, details: dict[str, int], *, now: datetime) -> None:
    audit.record(tx, Event(EventType.SECRET_ROTATED, now, caller, details=details))
