"""The host's own accounts: from what its directory tells to what every flow works with.

The directory is asked at the edge, outside of our transactions: at each login, at each refresh,
and whenever what it told last is ten minutes old or was declared stale by ``auth.changed``.
What it told is kept beside the subject, and read there by everything else.
"""

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Concatenate, Final, ParamSpec

from sqlalchemy import Connection, Row

from twinlock.accounts.directory import ASKED, Account, DirectoryEntry
from twinlock.accounts.entries import store as entries
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.clock import Clock
from twinlock.core.errors import DatabaseUnavailableError, StaleEntryError
from twinlock.core.keyring import DigestKey, Keyring
from twinlock.core.proof import SubjectId
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.changes import Changes
from twinlock.flows.counting import Counting
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions

log = logging.getLogger("twinlock.accounts")

P = ParamSpec("P")

OLD: Final = timedelta(minutes=10)
"""How long the host's answer is believed without asking again: a token's lifetime."""
_ID_LENGTH: Final = 32
_REPEATS: Final = 3
_HOST: Final = Caller(actor="host")


class HostAccounts:
    """The accounts of a host's directory, each with a subject of ours from its first sign-in."""

    are_ours = False

    def __init__(self, keyring: Keyring, digest_key: DigestKey, clock: Clock) -> None:
        self._keyring = keyring
        self._digest_key = digest_key
        self._clock = clock

    def find(
        self, db: Connection, login: str, entry: DirectoryEntry | None = None
    ) -> Account | None:
        """Return the account that the directory has just told of.

        Raises:
            StaleEntryError: It is not what it was told to be before; see `HostChanges.note`.
        """
        host_id = entry.host_id if entry else ""
        rows = entries.find_by_host_id(db, host_id)  # one read for an unknown name as well
        if entry is None:
            return None
        row = next((row for row in rows if row.closed_at is None), None)
        if row is None:
            return self._new_account(entry, closed=len(rows))
        if _is_another(row, entry) or _differences(row, entry):
            raise StaleEntryError(host_id)
        return _account(row, entry)

    def get(self, db: Connection, subject: SubjectId) -> Account | None:
        """Return the open account of *subject*, as it was told at most ten minutes ago.

        Raises:
            StaleEntryError: The directory is to be asked first.
        """
        row = entries.get_by_subject(db, subject)
        if row is None or row.username is None:
            return None
        is_old = row.asked_at is None or abs(self._clock() - row.asked_at) > OLD
        if is_old and row.host_id not in ASKED.get():
            raise StaleEntryError(row.host_id)
        return _account(row, None)

    def get_fresh(self, db: Connection, subject: SubjectId) -> Account | None:
        """Return the same, as it was told for this very step.

        Raises:
            StaleEntryError: The directory is to be asked first.
        """
        row = entries.get_by_subject(db, subject)
        if row is None or row.username is None:
            return None
        if row.host_id not in ASKED.get():
            raise StaleEntryError(row.host_id)
        return _account(row, None)

    def write_subject(self, tx: Connection, account: Account, *, now: datetime) -> None:
        """Write the subject of an account that somebody signs in to for the first time.

        Of two at once, both mean the same subject: its id follows from the host's id and from
        how many subjects of it were closed. Whatever else happened meanwhile, the step that
        comes next finds another generation, or none.
        """
        if not account.is_new or account.entry is None:
            return
        if _had_factors(tx, account.subject):
            log.critical("seal_broken", extra={"subject": account.subject})
            return  # so that the step that comes next finds no subject, and denies
        entries.insert_subject(
            tx,
            subject_id=account.subject,
            host_id=account.host_id,
            seal=account.seal,
            since=account.entry.began_at,
            now=now,
        )
        entries.insert_entry(tx, account.subject, account.entry, now=now)

    def _new_account(self, entry: DirectoryEntry, *, closed: int) -> Account:
        digest = self._digest_key.digest("subject", entry.host_id, str(closed))
        subject = SubjectId(digest.hex()[:_ID_LENGTH])
        seal = authenticators.make_seal(
            self._keyring, account=subject, generation=0, authenticators=()
        )
        return Account(
            subject=subject,
            host_id=entry.host_id,
            generation=0,
            seal=seal,
            awaits_enrollment=False,
            username=entry.username,
            email=entry.email,
            full_name=entry.full_name,
            roles=entry.sorted_roles,
            is_disabled=entry.disabled,
            password_hash=entry.password_hash,
            password_expires_at=None,
            created_at=entry.began_at or self._clock(),
            entry=entry,
            is_new=True,
        )


class _MovedOnError(Exception):
    """The account changed since it was read; nothing was written."""


class HostChanges:
    """Takes over what happened to accounts in the host's own table."""

    def __init__(self, parts: Parts, counting: Counting, changes: Changes) -> None:
        self._parts = parts
        self._counting = counting
        self._changes = changes

    def has_users(self) -> bool:
        """Tell whether any of a host's own users has signed in here."""
        return self._parts.database.reading(entries.has_entries)

    def note(self, host_id: str, entry: DirectoryEntry | None, *, now: datetime) -> None:
        """Write down what the directory answered, and end what ends with it.

        A deleted account, or another one under the same id, closes the subject with its
        factors and sessions; another address or disabled state ends sessions; another name or
        other roles are seen at the next request.
        """
        self._run(self._note, host_id, entry, now=now)

    def declare_changed(self, host_id: str, *, is_password: bool, now: datetime) -> None:
        """Have the directory asked again at the next request; a new password ends everything."""
        self._run(self._declare_changed, host_id, is_password=is_password, now=now)

    def _run(
        self,
        work: Callable[Concatenate[Connection, P], list[str]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run a change, from the start where another change to the account came first."""
        for _ in range(_REPEATS):
            with contextlib.suppress(_MovedOnError):
                self._parts.marks.bump(self._parts.database.transaction(work, *args, **kwargs))
                return
        raise DatabaseUnavailableError("the account changes all the time")

    def _note(
        self, tx: Connection, host_id: str, entry: DirectoryEntry | None, *, now: datetime
    ) -> list[str]:
        row = _open_row(tx, host_id)
        if row is None:
            return []
        if row.username is None:  # somebody deleted what was told
            if entry is not None:
                entries.insert_entry(tx, SubjectId(row.subject), entry, now=now)
            return []
        account = _account(row, None)
        if entry is None or _is_another(row, entry):
            return self._close(tx, account, now=now)
        differences = _differences(row, entry)
        noted: list[str] = []
        if differences & {"email", "is_disabled"}:
            noted = self._end_all(tx, account, now=now)
        elif differences:
            noted = sessions.mark_changed(tx, account.subject)
        if entry.began_at is not None and row.since is None:
            entries.adopt_since(tx, account.subject, since=entry.began_at)
        entries.update_entry(tx, account.subject, entry, now=now)
        if differences:
            self._record(tx, _event_of(row, entry), account, sorted(differences), now=now)
        return noted

    def _declare_changed(
        self, tx: Connection, host_id: str, *, is_password: bool, now: datetime
    ) -> list[str]:
        row = _open_row(tx, host_id)
        if row is None or row.username is None:
            return []
        account = _account(row, None)
        if is_password:
            noted = self._end_all(tx, account, now=now)
            self._record(tx, EventType.PASSWORD_CHANGED, account, (), now=now)
        else:
            noted = sessions.mark_changed(tx, account.subject)
        entries.mark_stale(tx, account.subject)
        return noted

    def _close(self, tx: Connection, account: Account, *, now: datetime) -> list[str]:
        noted = self._end_all(tx, account, now=now)
        self._changes.remove_every_factor(tx, account)
        subjects.close(tx, account.subject, now=now)
        entries.delete_entry(tx, account.subject)
        self._counting.forget(tx, account.subject, now=now)
        self._record(tx, EventType.ACCOUNT_DELETED, account, (), now=now)
        return noted

    def _end_all(self, tx: Connection, account: Account, *, now: datetime) -> list[str]:
        """Begin the account's next generation, and end all that was begun under this one."""
        those = self._changes.sealed_authenticators(tx, account)
        generation = self._changes.raise_generation(
            tx, account, those, awaits_enrollment=account.awaits_enrollment
        )
        if generation is None:
            raise _MovedOnError
        return self._changes.end_all(tx, account, now=now)

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        account: Account,
        changed: tuple[str, ...] | list[str],
        *,
        now: datetime,
    ) -> None:
        details = {"changed": list(changed)} if changed else {}
        audit.record(tx, Event(type_, now, _HOST, subject=account.subject, details=details))


def _had_factors(tx: Connection, subject: SubjectId) -> bool:
    """Tell whether the log knows of a factor of an account that nobody is to have signed in to.

    Who deletes all that belongs to a second factor makes no new account of it: an event cannot be
    taken away without breaking the chain.
    """
    enrolled = EventType.FACTOR_ENROLLED
    return bool(audit.list_events(tx, limit=1, subject=subject, type_=enrolled))


def _open_row(tx: Connection, host_id: str) -> Row[*tuple[Any, ...]] | None:
    rows = entries.find_by_host_id(tx, host_id)
    return next((row for row in rows if row.closed_at is None), None)


def _is_another(row: Row[*tuple[Any, ...]], entry: DirectoryEntry) -> bool:
    """Tell whether the host gave the id to another account."""
    began_at = entry.began_at
    return row.since is not None and began_at is not None and row.since != began_at


def _differences(row: Row[*tuple[Any, ...]], entry: DirectoryEntry) -> frozenset[str]:
    told = {
        "username": entry.username,
        "email": entry.email,
        "full_name": entry.full_name,
        "roles": " ".join(entry.sorted_roles),
        "is_disabled": entry.disabled,
    }
    known = row._mapping
    return frozenset(name for name, value in told.items() if known[name] != value)


def _event_of(row: Row[*tuple[Any, ...]], entry: DirectoryEntry) -> EventType:
    if row.is_disabled == entry.disabled:
        return EventType.ACCOUNT_CHANGED
    return EventType.ACCOUNT_DISABLED if entry.disabled else EventType.ACCOUNT_ENABLED


def _account(row: Row[*tuple[Any, ...]], entry: DirectoryEntry | None) -> Account:
    return Account(
        subject=SubjectId(row.subject),
        host_id=row.host_id,
        generation=row.generation,
        seal=row.seal,
        awaits_enrollment=row.awaits_enrollment,
        username=row.username,
        email=row.email,
        full_name=row.full_name,
        roles=tuple(row.roles.split()),
        is_disabled=row.is_disabled,
        password_hash=entry.password_hash if entry else None,
        password_expires_at=None,
        created_at=row.since or row.created_at,
        entry=entry,
    )
