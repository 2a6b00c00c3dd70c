"""All SQL of recovery codes."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from twinlock.core.proof import SubjectId
from twinlock.db.types import UtcDateTime
from twinlock.factors.recovery_codes.tables import recovery_code

INSERT_CODE = insert(recovery_code)
SPEND_CODE = delete(recovery_code).where(
    recovery_code.c.digest == bindparam("digest"),
    recovery_code.c.subject_id == bindparam("subject"),
)
DELETE_CODES = delete(recovery_code).where(recovery_code.c.subject_id == bindparam("subject"))
DELETE_ALL_CODES = delete(recovery_code)
COUNT_CODES = select(func.count()).where(recovery_code.c.subject_id == bindparam("subject"))
LOOK_AT_CODES = select(
    func.count(), func.min(recovery_code.c.created_at), func.count(recovery_code.c.kept_at)
).where(recovery_code.c.subject_id == bindparam("subject"))
NOTE_KEPT = (
    update(recovery_code)
    .where(recovery_code.c.subject_id == bindparam("subject"))
    .values(kept_at=bindparam("moment", type_=UtcDateTime()))
)

FIND_CODE = select(recovery_code.c.digest).where(
    recovery_code.c.digest == bindparam("digest"),
    recovery_code.c.subject_id == bindparam("subject"),
)


def insert_codes(
    tx: Connection, account: SubjectId, *, digests: Iterable[bytes], now: datetime
) -> None:
    """Add a set of codes."""
    rows = [{"digest": digest, "subject_id": account, "created_at": now} for digest in digests]
    tx.execute(INSERT_CODE, rows)


def spend_code(tx: Connection, account: SubjectId, *, digest: bytes) -> bool:
    """Spend a code; False when there is none such, or no longer."""
    params = {"digest": digest, "subject": account}
    return tx.execute(SPEND_CODE, params).rowcount == 1


def delete_codes(tx: Connection, account: SubjectId) -> int:
    """Void an account's codes."""
    return tx.execute(DELETE_CODES, {"subject": account}).rowcount


def delete_all_codes(tx: Connection) -> int:
    """Void everybody's codes, after a backup was put back."""
    return tx.execute(DELETE_ALL_CODES).rowcount


def count_codes(db: Connection, account: SubjectId) -> int:
    """Return how many codes are left."""
    return db.execute(COUNT_CODES, {"subject": account}).scalar_one()


def look_at_codes(db: Connection, account: SubjectId) -> tuple[int, datetime | None, int]:
    """Return how many codes are left, when they were made, and how many are known to be kept."""
    left, made_at, kept = db.execute(LOOK_AT_CODES, {"subject": account}).one()
    return left, made_at, kept


def note_kept(tx: Connection, account: SubjectId, *, now: datetime) -> None:
    """Note that an account's codes were kept."""
    tx.execute(NOTE_KEPT, {"subject": account, "moment": now})


def has_code(db: Connection, account: SubjectId, *, digest: bytes) -> bool:
    """Tell whether there is such a code."""
    params = {"digest": digest, "subject": account}
    return db.execute(FIND_CODE, params).first() is not None
