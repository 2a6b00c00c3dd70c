"""All SQL of staged resets, and the seal of each row.

A reset takes an account's factors away, and the upkeep does it without asking anybody again. The
seal is a MAC over whose it is, who asked and agreed, and until when it waits: who can write to the
database but does not hold the master keys can neither stage a reset nor make one due. A row whose
seal is broken belongs to no generation, and so is dead wherever somebody asks.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from twinlock.accounts.resets.tables import factor_reset
from twinlock.core.keyring import Keyring
from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.db.types import UtcDateTime

log = logging.getLogger("twinlock.resets")

_SEAL: Final = "factor_reset"
_NO_GENERATION: Final = -1


@dataclass(frozen=True, slots=True)
class StagedReset:
    """A reset of factors that waits.

    Attributes:
        generation: The account's when it was asked for; another one voids it.
        approved_by: The second admin, where the account is an admin's.
        expires_at: When it is too late to approve.
    """

    subject: SubjectId
    generation: int
    requested_by: SubjectId
    approved_by: SubjectId | None
    requested_at: datetime
    due_at: datetime
    expires_at: datetime

    @property
    def is_ours(self) -> bool:
        """Whether the seal of its row holds."""
        return self.generation != _NO_GENERATION

    @property
    def sealed_content(self) -> tuple[str, ...]:
        """What only the holder of a master key may write, for the row's seal."""
        moments = (self.requested_at, self.due_at, self.expires_at)
        who = (self.subject, self.requested_by, self.approved_by or "")
        return (*who, str(self.generation), *(moment.isoformat() for moment in moments))


GET_RESET = select(factor_reset).where(factor_reset.c.subject_id == bindparam("subject"))
LIST_DUE = (
    select(factor_reset)
    .where(
        factor_reset.c.due_at <= bindparam("moment", type_=UtcDateTime()),
        factor_reset.c.subject_id > bindparam("after"),
    )
    .order_by(factor_reset.c.subject_id)
    .limit(bindparam("limit"))
)
LIST_WAITING = (
    select(factor_reset)
    .where(factor_reset.c.expires_at > bindparam("moment", type_=UtcDateTime()))
    .order_by(factor_reset.c.due_at)
    .limit(bindparam("limit"))
)
INSERT_RESET = (
    insert(factor_reset).ext(on_conflict("DO NOTHING")).returning(factor_reset.c.subject_id)
)
APPROVE_RESET = (
    update(factor_reset)
    .where(
        factor_reset.c.subject_id == bindparam("subject"),
        factor_reset.c.requested_at == bindparam("asked_at", type_=UtcDateTime()),
        factor_reset.c.requested_by != bindparam("by"),
        factor_reset.c.approved_by.is_(None),
        factor_reset.c.seal == bindparam("old_seal"),
    )
    .values(approved_by=bindparam("by"), seal=bindparam("new_seal"))
)
LIST_ROWS = (
    select(factor_reset)
    .where(factor_reset.c.subject_id > bindparam("after"))
    .order_by(factor_reset.c.subject_id)
    .limit(bindparam("limit"))
)
RESEAL_RESET = (
    update(factor_reset)
    .where(
        factor_reset.c.subject_id == bindparam("subject"),
        factor_reset.c.seal == bindparam("old_seal"),
    )
    .values(seal=bindparam("new_seal"))
)
SPEND_RESET = delete(factor_reset).where(
    factor_reset.c.subject_id == bindparam("subject"),
    factor_reset.c.requested_at == bindparam("asked_at", type_=UtcDateTime()),
)
DELETE_EVERY_RESET = delete(factor_reset)


def get_reset(db: Connection, keyring: Keyring, subject: SubjectId) -> StagedReset | None:
    """Return the reset that an account waits for, a dead one included."""
    row = db.execute(GET_RESET, {"subject": subject}).one_or_none()
    return None if row is None else _sealed(keyring, row)


def list_due(
    db: Connection, keyring: Keyring, *, now: datetime, after: str, limit: int
) -> Sequence[StagedReset]:
    """Return resets whose time has come, in the order of their accounts, from *after* on."""
    rows = db.execute(LIST_DUE, {"moment": now, "after": after, "limit": limit})
    return [_sealed(keyring, row) for row in rows]


def list_waiting(
    db: Connection, keyring: Keyring, *, now: datetime, limit: int
) -> Sequence[StagedReset]:
    """Return resets that wait, dead ones included, the next to be done first."""
    rows = db.execute(LIST_WAITING, {"moment": now, "limit": limit})
    return [_sealed(keyring, row) for row in rows]


def insert_reset(tx: Connection, keyring: Keyring, new: StagedReset) -> bool:
    """Store a reset; False when the account has one."""
    row = {
        "subject_id": new.subject,
        "generation": new.generation,
        "requested_by": new.requested_by,
        "approved_by": new.approved_by,
        "requested_at": new.requested_at,
        "due_at": new.due_at,
        "expires_at": new.expires_at,
        "seal": keyring.mac(_SEAL, *new.sealed_content),
    }
    return tx.execute(INSERT_RESET, row).scalar() is not None


def approve(
    tx: Connection, keyring: Keyring, subject: SubjectId, *, by: SubjectId
) -> StagedReset | None:
    """Note a second admin's approval; None if there is one, or if *by* is who asked."""
    row = tx.execute(GET_RESET, {"subject": subject}).one_or_none()
    if row is None:
        return None
    approved = replace(_sealed(keyring, row), approved_by=by)
    params = {
        "subject": subject,
        "asked_at": row.requested_at,
        "by": by,
        "old_seal": row.seal,
        "new_seal": keyring.mac(_SEAL, *approved.sealed_content),
    }
    return approved if tx.execute(APPROVE_RESET, params).rowcount == 1 else None


def spend(tx: Connection, staged: StagedReset) -> bool:
    """Take a reset away, to do it or to drop it; False when somebody was first."""
    params = {"subject": staged.subject, "asked_at": staged.requested_at}
    return tx.execute(SPEND_RESET, params).rowcount == 1


def delete_every_reset(tx: Connection) -> int:
    """Call off what was asked for everybody, after a backup was put back; return how many."""
    return tx.execute(DELETE_EVERY_RESET).rowcount


def reseal_resets(tx: Connection, keyring: Keyring, *, after: str, limit: int) -> tuple[int, str]:
    """Seal a batch under the newest key; return how many, and the last id (empty: none left)."""
    rows: Sequence[Row[Any]] = tx.execute(LIST_ROWS, {"after": after, "limit": limit}).all()
    resealed = 0
    for row in rows:
        content = _reset(row).sealed_content
        if keyring.is_stale_mac(row.seal) and keyring.is_mac(row.seal, _SEAL, *content):
            params = {
                "subject": row.subject_id,
                "old_seal": row.seal,
                "new_seal": keyring.mac(_SEAL, *content),
            }
            resealed += tx.execute(RESEAL_RESET, params).rowcount
    return resealed, rows[-1].subject_id if rows else ""


def _sealed(keyring: Keyring, row: Row[Any]) -> StagedReset:
    """Return a reset; where its seal is broken, one that is dead."""
    staged = _reset(row)
    if keyring.is_mac(row.seal, _SEAL, *staged.sealed_content):
        return staged
    log.critical("reset_seal_broken", extra={"subject": row.subject_id})
    return replace(staged, generation=_NO_GENERATION)


def _reset(row: Row[Any]) -> StagedReset:
    return StagedReset(
        subject=SubjectId(row.subject_id),
        generation=row.generation,
        requested_by=SubjectId(row.requested_by),
        approved_by=SubjectId(row.approved_by) if row.approved_by else None,
        requested_at=row.requested_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
    )
