"""All SQL of the subject: the one row that everything about an account hangs on.

A transaction that changes several rows of an account changes or locks this one first, so that no
two of them wait for each other, whatever rows come after. The one exception is counting a try: it
holds a count without this row, and then takes nothing but the pending row that the try is for.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, bindparam, insert, literal, select, update

from twinlock.accounts.tables import subject
from twinlock.core.proof import SubjectId
from twinlock.db.types import UtcDateTime

INSERT_SUBJECT = insert(subject)
TOUCH_SUBJECT = (
    update(subject)
    .where(
        subject.c.id == bindparam("subject_id"),
        subject.c.generation == bindparam("seen"),
        subject.c.closed_at.is_(None),
    )
    .values(signed_in_at=bindparam("moment", type_=UtcDateTime()))
)
LOCK_SUBJECT = (
    select(subject.c.id)
    .where(
        subject.c.id == bindparam("subject_id"),
        subject.c.generation == bindparam("seen"),
        subject.c.closed_at.is_(None),
    )
    .with_for_update(key_share=True)  # as an UPDATE would; SQLite's writers are alone anyway
)
CHANGE_SUBJECT = (
    update(subject)
    .where(
        subject.c.id == bindparam("subject_id"),
        subject.c.generation == bindparam("seen"),
        subject.c.closed_at.is_(None),
    )
    .values(
        generation=subject.c.generation + literal(1, BigInteger),
        seal=bindparam("new_seal"),
        awaits_enrollment=bindparam("awaits"),
    )
)
CLOSE_SUBJECT = (
    update(subject)
    .where(subject.c.id == bindparam("subject_id"), subject.c.closed_at.is_(None))
    .values(
        closed_at=bindparam("moment", type_=UtcDateTime()),
        generation=subject.c.generation + literal(1, BigInteger),
    )
)
RESEAL_SUBJECT = (
    update(subject)
    .where(subject.c.id == bindparam("subject_id"), subject.c.seal == bindparam("old_seal"))
    .values(seal=bindparam("new_seal"))
)
LIST_SUBJECTS = (
    select(subject.c.id, subject.c.generation, subject.c.seal, subject.c.awaits_enrollment)
    .where(subject.c.id > bindparam("after"))
    .order_by(subject.c.id)
    .limit(bindparam("limit"))
)


def add(tx: Connection, *, subject_id: SubjectId, host_id: str, seal: bytes, now: datetime) -> None:
    """Create the subject of an account, at generation 0."""
    row = {
        "id": subject_id,
        "host_id": host_id,
        "generation": 0,
        "seal": seal,
        "awaits_enrollment": False,
        "since": None,
        "signed_in_at": None,
        "closed_at": None,
        "created_at": now,
    }
    tx.execute(INSERT_SUBJECT, row)


def touch(tx: Connection, subject_id: SubjectId, *, seen: int, now: datetime) -> bool:
    """Note a sign-in; False when the subject is no longer of the generation *seen*."""
    params = {"subject_id": subject_id, "seen": seen, "moment": now}
    return tx.execute(TOUCH_SUBJECT, params).rowcount == 1


def lock(tx: Connection, subject_id: SubjectId, *, seen: int) -> bool:
    """Hold the row that all writers of an account share; False when its generation moved on."""
    params = {"subject_id": subject_id, "seen": seen}
    return tx.execute(LOCK_SUBJECT, params).first() is not None


def hold(tx: Connection, subject_id: SubjectId, *, seen: int) -> None:
    """Lock the same row, for a caller that compares the generation only at its end."""
    tx.execute(LOCK_SUBJECT, {"subject_id": subject_id, "seen": seen})


def change(
    tx: Connection, subject_id: SubjectId, *, seen: int, new_seal: bytes, awaits_enrollment: bool
) -> bool:
    """Raise the generation; False when it is no longer the one *seen*."""
    params = {
        "subject_id": subject_id,
        "seen": seen,
        "new_seal": new_seal,
        "awaits": awaits_enrollment,
    }
    return tx.execute(CHANGE_SUBJECT, params).rowcount == 1


def close(tx: Connection, subject_id: SubjectId, *, now: datetime) -> bool:
    """End a subject for good, when its account is deleted."""
    return tx.execute(CLOSE_SUBJECT, {"subject_id": subject_id, "moment": now}).rowcount == 1


def reseal(tx: Connection, subject_id: SubjectId, *, old_seal: bytes, new_seal: bytes) -> bool:
    """Replace a seal by one under a newer key; False when it changed meanwhile."""
    params = {"subject_id": subject_id, "old_seal": old_seal, "new_seal": new_seal}
    return tx.execute(RESEAL_SUBJECT, params).rowcount == 1


def list_subjects(db: Connection, *, after: str, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return id, generation and seal of subjects in the order of their ids."""
    return db.execute(LIST_SUBJECTS, {"after": after, "limit": limit}).all()
