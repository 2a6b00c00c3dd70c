"""Looking at an installation without changing it: what ``init``, ``serve`` and ``doctor`` ask."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, runtime_checkable

from sqlalchemy import Connection, inspect

from twinlock.accounts import store as accounts
from twinlock.accounts.subjects import store as subjects
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import SubjectId
from twinlock.db.engine import Database
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import SealBroken
from twinlock.factors.protocol import Batch
from twinlock.flows.parts import Parts
from twinlock.installation import store as installation
from twinlock.tokens import store as signing_keys
from twinlock.tokens.signing_keys import StoredKey, open_key

log = logging.getLogger("twinlock.checkup")

BATCH: Final = 200
_ID_SPACE: Final = 16**8

Progress = Callable[[float], None]
"""Takes the fraction that is done."""


@runtime_checkable
class KeepsSecrets(Protocol):
    """A factor that keeps sealed values of its own, and can look through them in batches."""

    method: str

    def find_broken(self, db: Connection, *, after: str, limit: int) -> Batch | None:
        """Try to open the values that follow *after*; None when there are no more."""
        ...

    def reseal(self, tx: Connection, *, after: str, limit: int) -> Batch | None:
        """Seal them again where an older master key sealed them; None when there are no more."""
        ...


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A subject, and the seal over what it has."""

    id: SubjectId
    generation: int
    seal: bytes
    awaits_enrollment: bool


def has_installation(database: Database) -> bool:
    """Tell whether the database was initialised before, whatever keys it belongs to."""
    return database.reading(_has_installation)


def has_admin(parts: Parts) -> bool:
    """Tell whether anybody holds the role ``admin`` and is enabled."""
    return parts.database.reading(accounts.count_admins) > 0


def clock_lead(parts: Parts) -> timedelta:
    """Return by how much the database's clock is ahead of this machine's."""
    before = parts.clock()
    database_time = parts.database.reading(installation.get_time)
    return database_time - before


def find_broken_signing_keys(parts: Parts) -> list[str]:
    """Return the ids of the signing keys in use that do not open."""
    return [
        key.kid
        for key in parts.database.reading(signing_keys.find_all)
        if key.retired_at is None and not _opens(parts, key)
    ]


def find_broken_seals(
    parts: Parts, *, most: int | None, progress: Progress
) -> tuple[int, list[SubjectId]]:
    """Return how many accounts were looked at, and those that the seal shuts out.

    Args:
        parts: The installation.
        most: How many to look at; None for all.
        progress: Told how far it is.
    """
    looked_at = 0
    broken: list[SubjectId] = []
    after = ""
    while most is None or looked_at < most:
        rows = parts.database.reading(list_subjects, after=after, limit=BATCH)
        if not rows:
            break
        looked_at += len(rows)
        broken += parts.database.reading(_find_broken_seals, parts, rows)
        after = rows[-1].id
        progress(fraction_of(after) if most is None else looked_at / most)
    return looked_at, broken


def find_broken_secrets(parts: Parts, *, progress: Progress) -> list[str]:
    """Return what factors keep and cannot open any more, as ``method id``."""
    broken: list[str] = []
    for factor in parts.factors:
        if not isinstance(factor, KeepsSecrets):
            continue
        after = ""
        while batch := parts.database.reading(factor.find_broken, after=after, limit=BATCH):
            broken += [f"{factor.method} {one}" for one in batch.broken]
            after = batch.last
            progress(fraction_of(after))
    return broken


def fraction_of(last_id: str) -> float:
    """Return how far a walk in the order of random ids has come, told by the last of them."""
    return int(last_id[:8], 16) / _ID_SPACE


def list_subjects(db: Connection, *, after: str, limit: int) -> list[SubjectRow]:
    """Return subjects in the order of their ids."""
    return [
        SubjectRow(SubjectId(row.id), row.generation, row.seal, row.awaits_enrollment)
        for row in subjects.list_subjects(db, after=after, limit=limit)
    ]


def is_seal_broken(db: Connection, parts: Parts, row: SubjectRow) -> bool:
    """Tell whether a subject's rows are not what its seal was made over.

    A subject that was closed needs no seal, and what changed since *row* was read tells nothing.
    """
    found = authenticators.find_authenticators(
        db,
        parts.keyring,
        account=row.id,
        generation=row.generation,
        seal=row.seal,
        awaits_enrollment=row.awaits_enrollment,
    )
    if not isinstance(found, SealBroken):
        return False
    account = parts.accounts.get(db, row.id)
    return account is not None and account.seal == row.seal


def _has_installation(db: Connection) -> bool:
    has_table = inspect(db).has_table(installation.TABLE_NAME)
    return has_table and installation.get_installation(db) is not None


def _find_broken_seals(db: Connection, parts: Parts, rows: list[SubjectRow]) -> list[SubjectId]:
    return [row.id for row in rows if is_seal_broken(db, parts, row)]


def _opens(parts: Parts, key: StoredKey) -> bool:
    try:
        open_key(key, parts.keyring)
    except SealBrokenError:
        return False
    return True
