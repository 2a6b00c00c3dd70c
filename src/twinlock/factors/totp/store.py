"""All SQL of TOTP keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from twinlock.core.proof import SubjectId
from twinlock.factors.totp.tables import totp

FIND_KEYS = select(totp).where(totp.c.subject_id == bindparam("subject"))
INSERT_KEY = insert(totp)
SPEND_STEP = (
    update(totp)
    .where(
        totp.c.authenticator_id == bindparam("id"),
        totp.c.subject_id == bindparam("subject"),
        totp.c.last_step < bindparam("step"),
    )
    .values(last_step=bindparam("step"))
)
DELETE_KEY = delete(totp).where(
    totp.c.authenticator_id == bindparam("id"), totp.c.subject_id == bindparam("subject")
)
LIST_KEYS = (
    select(totp)
    .where(totp.c.authenticator_id > bindparam("after"))
    .order_by(totp.c.authenticator_id)
    .limit(bindparam("limit"))
)
RESEAL_KEY = (
    update(totp)
    .where(totp.c.authenticator_id == bindparam("id"), totp.c.key == bindparam("old"))
    .values(key=bindparam("new"))
)


def find_keys(db: Connection, account: SubjectId) -> Sequence[Row[Any]]:
    """Return the rows of an account's TOTP keys, still sealed."""
    return db.execute(FIND_KEYS, {"subject": account}).all()


def insert_key(
    tx: Connection,
    account: SubjectId,
    authenticator_id: str,
    *,
    sealed_key: bytes,
    digits: int,
    period_seconds: int,
    algorithm: str,
    last_step: int,
    now: datetime,
) -> None:
    """Add a key, with the step that confirmed it already spent."""
    row = {
        "authenticator_id": authenticator_id,
        "subject_id": account,
        "key": sealed_key,
        "digits": digits,
        "period_seconds": period_seconds,
        "algorithm": algorithm,
        "last_step": last_step,
        "created_at": now,
    }
    tx.execute(INSERT_KEY, row)


def spend_step(tx: Connection, account: SubjectId, authenticator_id: str, *, step: int) -> bool:
    """Spend a time step and all before it; False when it was spent (RFC 6238 section 5.2)."""
    params = {"id": authenticator_id, "subject": account, "step": step}
    return tx.execute(SPEND_STEP, params).rowcount == 1


def delete_key(tx: Connection, account: SubjectId, authenticator_id: str) -> None:
    """Delete one key."""
    tx.execute(DELETE_KEY, {"id": authenticator_id, "subject": account})


def list_keys(db: Connection, *, after: str, limit: int) -> Sequence[Row[Any]]:
    """Return rows in the order of their ids, for re-sealing in batches."""
    return db.execute(LIST_KEYS, {"after": after, "limit": limit}).all()


def reseal_key(tx: Connection, authenticator_id: str, *, old: bytes, new: bytes) -> bool:
    """Replace a sealed key by the same under a newer master key; False when it changed."""
    params = {"id": authenticator_id, "old": old, "new": new}
    return tx.execute(RESEAL_KEY, params).rowcount == 1
