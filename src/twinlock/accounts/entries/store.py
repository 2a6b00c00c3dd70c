"""All SQL of what a host's directory told, and of the subjects of a host's accounts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, literal, select, update

from twinlock.accounts.directory import DirectoryEntry
from twinlock.accounts.entries.tables import directory_entry
from twinlock.accounts.tables import subject
from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime

_SUBJECT = (
    subject.c.id.label("subject"),
    subject.c.host_id,
    subject.c.generation,
    subject.c.seal,
    subject.c.awaits_enrollment,
    subject.c.since,
    subject.c.closed_at,
    subject.c.created_at,
)
_ENTRY = (
    directory_entry.c.username,
    directory_entry.c.email,
    directory_entry.c.full_name,
    directory_entry.c.roles,
    directory_entry.c.is_disabled,
    directory_entry.c.asked_at,
)
_JOINED = select(*_SUBJECT, *_ENTRY).select_from(
    subject.join(directory_entry, directory_entry.c.subject_id == subject.c.id, isouter=True)
)

FIND_BY_HOST_ID = _JOINED.where(subject.c.host_id == bindparam("host_id"))
GET_BY_SUBJECT = _JOINED.where(
    subject.c.id == bindparam("subject_id"), subject.c.closed_at.is_(None)
)
INSERT_SUBJECT = insert(subject).ext(on_conflict("DO NOTHING"))
INSERT_ENTRY = insert(directory_entry).ext(on_conflict("DO NOTHING"))
UPDATE_ENTRY = (
    update(directory_entry)
    .where(directory_entry.c.subject_id == bindparam("which"))
    .values(
        username=bindparam("new_username"),
        email=bindparam("new_email"),
        full_name=bindparam("new_full_name"),
        roles=bindparam("new_roles"),
        is_disabled=bindparam("new_is_disabled"),
        asked_at=bindparam("moment", type_=UtcDateTime()),
    )
)
MARK_STALE = (
    update(directory_entry)
    .where(directory_entry.c.subject_id == bindparam("which"))
    .values(asked_at=None)
)
ADOPT_SINCE = (
    update(subject)
    .where(subject.c.id == bindparam("which"), subject.c.since.is_(None))
    .values(since=bindparam("moment", type_=UtcDateTime()))
)
DELETE_ENTRY = delete(directory_entry).where(directory_entry.c.subject_id == bindparam("which"))
ANY_ENTRY = select(literal(1)).select_from(directory_entry).limit(1)
COUNT_ENTRIES = select(func.count()).select_from(directory_entry)


def find_by_host_id(db: Connection, host_id: str) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return every subject that a host's id ever had, closed ones included."""
    return db.execute(FIND_BY_HOST_ID, {"host_id": host_id}).all()


def get_by_subject(db: Connection, subject_id: SubjectId) -> Row[*tuple[Any, ...]] | None:
    """Return an open subject with what the host's directory told of it."""
    return db.execute(GET_BY_SUBJECT, {"subject_id": subject_id}).one_or_none()


def insert_subject(
    tx: Connection,
    *,
    subject_id: SubjectId,
    host_id: str,
    seal: bytes,
    since: datetime | None,
    now: datetime,
) -> None:
    """Write the subject of a host's account; nothing where the id has an open one already."""
    row = {
        "id": subject_id,
        "host_id": host_id,
        "generation": 0,
        "seal": seal,
        "awaits_enrollment": False,
        "since": since,
        "signed_in_at": None,
        "closed_at": None,
        "created_at": now,
    }
    tx.execute(INSERT_SUBJECT, row)


def insert_entry(
    tx: Connection, subject_id: SubjectId, entry: DirectoryEntry, *, now: datetime
) -> None:
    """Store what the directory told of an account, for the first time."""
    row = {
        "subject_id": subject_id,
        "username": entry.username,
        "email": entry.email,
        "full_name": entry.full_name,
        "roles": " ".join(entry.sorted_roles),
        "is_disabled": entry.disabled,
        "asked_at": now,
        "created_at": now,
    }
    tx.execute(INSERT_ENTRY, row)


def update_entry(
    tx: Connection, subject_id: SubjectId, entry: DirectoryEntry, *, now: datetime
) -> None:
    """Replace what the directory told of an account before."""
    params = {
        "which": subject_id,
        "new_username": entry.username,
        "new_email": entry.email,
        "new_full_name": entry.full_name,
        "new_roles": " ".join(entry.sorted_roles),
        "new_is_disabled": entry.disabled,
        "moment": now,
    }
    tx.execute(UPDATE_ENTRY, params)


def mark_stale(tx: Connection, subject_id: SubjectId) -> None:
    """Have the directory asked again before anything else."""
    tx.execute(MARK_STALE, {"which": subject_id})


def adopt_since(tx: Connection, subject_id: SubjectId, *, since: datetime) -> None:
    """Take over when an account began, where nothing was told of it before."""
    tx.execute(ADOPT_SINCE, {"which": subject_id, "moment": since})


def delete_entry(tx: Connection, subject_id: SubjectId) -> None:
    """Delete what the directory told of an account that is gone."""
    tx.execute(DELETE_ENTRY, {"which": subject_id})


def count_entries(db: Connection) -> int:
    """Return how many accounts of a host have signed in here."""
    return db.execute(COUNT_ENTRIES).scalar_one()


def has_entries(db: Connection) -> bool:
    """Tell whether an account of a host's directory has ever signed in here."""
    return db.execute(ANY_ENTRY).scalar() is not None
