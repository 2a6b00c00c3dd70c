"""All SQL of authenticators, and the seal that says which of them an account has.

The seal is a MAC over account, generation and the ids and methods of its authenticators,
kept with the subject. Whoever can write to the database but does not hold the master keys
can neither add, remove nor move an authenticator without breaking it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from twinlock.core.keyring import Keyring
from twinlock.core.proof import NoSecondFactor, SubjectId
from twinlock.db.types import UtcDateTime
from twinlock.factors.authenticators.tables import authenticator

_SEAL: Final = "authenticators"

FIND_AUTHENTICATORS = (
    select(authenticator)
    .where(authenticator.c.subject_id == bindparam("subject"))
    .order_by(authenticator.c.created_at, authenticator.c.id)
)
INSERT_AUTHENTICATOR = insert(authenticator)
DELETE_AUTHENTICATOR = delete(authenticator).where(
    authenticator.c.id == bindparam("authenticator_id"),
    authenticator.c.subject_id == bindparam("subject"),
)
DELETE_ALL = delete(authenticator).where(authenticator.c.subject_id == bindparam("subject"))
RENAME_AUTHENTICATOR = (
    update(authenticator)
    .where(
        authenticator.c.id == bindparam("authenticator_id"),
        authenticator.c.subject_id == bindparam("subject"),
    )
    .values(label=bindparam("new_label"))
)
NOTE_USE = (
    update(authenticator)
    .where(authenticator.c.id == bindparam("authenticator_id"))
    .values(last_used_at=bindparam("moment", type_=UtcDateTime()))
)

FIND_METHODS = (
    select(authenticator.c.subject_id, authenticator.c.method)
    .where(authenticator.c.subject_id.in_(bindparam("subjects", expanding=True)))
    .order_by(authenticator.c.created_at, authenticator.c.id)
)
_HOLDERS = select(authenticator.c.subject_id).distinct().limit(bindparam("limit")).subquery()
COUNT_HOLDERS = select(func.count()).select_from(_HOLDERS)
_HOLDERS_OF = (
    select(authenticator.c.subject_id)
    .where(authenticator.c.method.in_(bindparam("methods", expanding=True)))
    .distinct()
    .limit(bindparam("limit"))
    .subquery()
)
COUNT_HOLDERS_OF = select(func.count()).select_from(_HOLDERS_OF)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """One authenticator of an account.

    Attributes:
        code_digits: How many digits its codes have; None where nothing is typed.
    """

    id: str
    method: str
    label: str
    code_digits: int | None
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Authenticators:
    """What an account has, read under a valid seal."""

    account: SubjectId
    generation: int
    all: tuple[Authenticator, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the account has, each once, in order of their enrollment."""
        return tuple(dict.fromkeys(one.method for one in self.all))

    def get(self, authenticator_id: str) -> Authenticator | None:
        """Return the authenticator of that id."""
        return next((one for one in self.all if one.id == authenticator_id), None)


@dataclass(frozen=True, slots=True)
class AwaitsEnrollment:
    """The account's factors were reset: its password opens nothing until one is enrolled."""

    account: SubjectId


@dataclass(frozen=True, slots=True)
class SealBroken:
    """The rows found are not those that the account's seal was made over: deny."""

    account: SubjectId


def find_authenticators(
    db: Connection,
    keyring: Keyring,
    *,
    account: SubjectId,
    generation: int,
    seal: bytes,
    awaits_enrollment: bool,
) -> Authenticators | NoSecondFactor | AwaitsEnrollment | SealBroken:
    """Return what the account has. Only a valid seal over none reads as no second factor."""
    rows = db.execute(FIND_AUTHENTICATORS, {"subject": account}).all()
    pairs = [(row.id, row.method) for row in rows]
    content = _sealed_content(account, generation, pairs, awaits_enrollment=awaits_enrollment)
    if not keyring.is_mac(seal, _SEAL, *content):
        return SealBroken(account)
    if awaits_enrollment:
        return AwaitsEnrollment(account)
    if not rows:
        return NoSecondFactor(account, generation)
    return Authenticators(account, generation, tuple(_authenticator(row) for row in rows))


def list_authenticators(db: Connection, account: SubjectId) -> list[Authenticator]:
    """Return an account's rows whatever its seal says: to remove or to show, never to decide."""
    return [_authenticator(row) for row in db.execute(FIND_AUTHENTICATORS, {"subject": account})]


def find_methods(
    db: Connection, accounts: Sequence[SubjectId]
) -> Mapping[SubjectId, tuple[str, ...]]:
    """Return the methods of some accounts, whatever their seals say: to show, never to decide."""
    found: dict[SubjectId, dict[str, None]] = {}
    for row in db.execute(FIND_METHODS, {"subjects": list(accounts)}):
        found.setdefault(SubjectId(row.subject_id), {})[row.method] = None
    return {account: tuple(methods) for account, methods in found.items()}


def count_holders(db: Connection, *, limit: int) -> int:
    """Count accounts that have an authenticator, up to *limit*."""
    return db.execute(COUNT_HOLDERS, {"limit": limit}).scalar_one()


def count_holders_of(db: Connection, methods: Sequence[str], *, limit: int) -> int:
    """Count accounts that have an authenticator of some methods, up to *limit*."""
    params = {"methods": list(methods), "limit": limit}
    return db.execute(COUNT_HOLDERS_OF, params).scalar_one()


def make_seal(
    keyring: Keyring,
    *,
    account: SubjectId,
    generation: int,
    authenticators: Sequence[Authenticator],
    awaits_enrollment: bool = False,
) -> bytes:
    """Return the seal of an account that has exactly *authenticators*."""
    pairs = [(one.id, one.method) for one in authenticators]
    content = _sealed_content(account, generation, pairs, awaits_enrollment=awaits_enrollment)
    return keyring.mac(_SEAL, *content)


def renewed_seal(
    db: Connection,
    keyring: Keyring,
    *,
    account: SubjectId,
    generation: int,
    seal: bytes,
    awaits_enrollment: bool,
) -> bytes | None:
    """Return the same seal under the newest master key; None if the rows are not what it says."""
    rows = db.execute(FIND_AUTHENTICATORS, {"subject": account}).all()
    pairs = [(row.id, row.method) for row in rows]
    content = _sealed_content(account, generation, pairs, awaits_enrollment=awaits_enrollment)
    return keyring.mac(_SEAL, *content) if keyring.is_mac(seal, _SEAL, *content) else None


def insert_authenticator(tx: Connection, account: SubjectId, new: Authenticator) -> None:
    """Add an authenticator; the caller writes the new seal."""
    row = {
        "id": new.id,
        "subject_id": account,
        "method": new.method,
        "label": new.label,
        "code_digits": new.code_digits,
        "last_used_at": new.last_used_at,
        "created_at": new.created_at,
    }
    tx.execute(INSERT_AUTHENTICATOR, row)


def delete_authenticator(tx: Connection, account: SubjectId, authenticator_id: str) -> bool:
    """Remove an authenticator; the caller writes the new seal."""
    params = {"authenticator_id": authenticator_id, "subject": account}
    return tx.execute(DELETE_AUTHENTICATOR, params).rowcount == 1


def delete_all(tx: Connection, account: SubjectId) -> int:
    """Remove every authenticator of an account; the caller writes the new seal."""
    return tx.execute(DELETE_ALL, {"subject": account}).rowcount


def rename_authenticator(
    tx: Connection, account: SubjectId, authenticator_id: str, *, label: str
) -> bool:
    """Give an authenticator another label."""
    params = {"authenticator_id": authenticator_id, "subject": account, "new_label": label}
    return tx.execute(RENAME_AUTHENTICATOR, params).rowcount == 1


def note_use(tx: Connection, authenticator_id: str, *, now: datetime) -> None:
    """Note when an authenticator was last used."""
    tx.execute(NOTE_USE, {"authenticator_id": authenticator_id, "moment": now})


def _sealed_content(
    account: SubjectId,
    generation: int,
    pairs: Sequence[tuple[str, str]],
    *,
    awaits_enrollment: bool,
) -> list[str]:
    state = "awaits-enrollment" if awaits_enrollment else "open"
    return [account, str(generation), state, *(part for pair in sorted(pairs) for part in pair)]


def _authenticator(row: Row[Any]) -> Authenticator:
    return Authenticator(
        id=row.id,
        method=row.method,
        label=row.label,
        code_digits=row.code_digits,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
