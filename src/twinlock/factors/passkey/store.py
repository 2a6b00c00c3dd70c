"""All SQL of passkeys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from twinlock.core.proof import SubjectId
from twinlock.db.conflict import on_conflict
from twinlock.factors.passkey.tables import passkey

_new_count = bindparam("new_count", type_=BigInteger())
_is_one = (
    passkey.c.authenticator_id == bindparam("id"),
    passkey.c.subject_id == bindparam("subject"),
)

FIND_CREDENTIALS = (
    select(passkey)
    .where(passkey.c.subject_id == bindparam("subject"))
    .order_by(passkey.c.created_at, passkey.c.authenticator_id)
)
GET_CREDENTIAL = select(passkey).where(passkey.c.credential_id == bindparam("credential"))
INSERT_CREDENTIAL = (
    insert(passkey).ext(on_conflict("DO NOTHING")).returning(passkey.c.authenticator_id)
)
# WebAuthn Level 3 section 6.1.1: an authenticator without a counter says 0 each time.
NOTE_ASSERTION = (
    update(passkey)
    .where(
        *_is_one,
        or_(
            passkey.c.sign_count < _new_count,
            and_(passkey.c.sign_count == 0, _new_count == 0),
        ),
        passkey.c.last_challenge.is_distinct_from(bindparam("challenge")),
    )
    .values(
        sign_count=_new_count,
        is_backed_up=bindparam("backed_up"),
        last_challenge=bindparam("challenge"),
    )
)
DELETE_CREDENTIAL = delete(passkey).where(*_is_one)
LIST_CREDENTIALS = (
    select(passkey)
    .where(passkey.c.authenticator_id > bindparam("after"))
    .order_by(passkey.c.authenticator_id)
    .limit(bindparam("limit"))
)
RESEAL_KEY = (
    update(passkey)
    .where(passkey.c.authenticator_id == bindparam("id"), passkey.c.public_key == bindparam("old"))
    .values(public_key=bindparam("new"))
)


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What is stored of a new credential, its public key already sealed."""

    authenticator_id: str
    account: SubjectId
    credential_id: bytes
    sealed_key: bytes
    algorithm: int
    aaguid: str
    transports: tuple[str, ...]
    is_backup_eligible: bool
    is_backed_up: bool
    sign_count: int
    created_at: datetime


def find_credentials(db: Connection, account: SubjectId) -> Sequence[Row[Any]]:
    """Return an account's passkeys, their public keys still sealed."""
    return db.execute(FIND_CREDENTIALS, {"subject": account}).all()


def get_credential(db: Connection, credential_id: bytes) -> Row[Any] | None:
    """Return the passkey of a credential id, whoever's it is."""
    return db.execute(GET_CREDENTIAL, {"credential": credential_id}).one_or_none()


def insert_credential(tx: Connection, new: NewPasskey) -> bool:
    """Add a passkey; False when somebody has that credential id already."""
    row = {
        "authenticator_id": new.authenticator_id,
        "subject_id": new.account,
        "credential_id": new.credential_id,
        "public_key": new.sealed_key,
        "algorithm": new.algorithm,
        "aaguid": new.aaguid,
        "transports": " ".join(new.transports),
        "is_backup_eligible": new.is_backup_eligible,
        "is_backed_up": new.is_backed_up,
        "sign_count": new.sign_count,
        "last_challenge": None,
        "created_at": new.created_at,
    }
    return tx.execute(INSERT_CREDENTIAL, row).first() is not None


def note_assertion(
    tx: Connection,
    account: SubjectId,
    authenticator_id: str,
    *,
    sign_count: int,
    is_backed_up: bool,
    challenge_digest: bytes,
) -> bool:
    """Note a verified answer; False when its counter fell back or its challenge was the last."""
    params = {
        "id": authenticator_id,
        "subject": account,
        "new_count": sign_count,
        "backed_up": is_backed_up,
        "challenge": challenge_digest,
    }
    return tx.execute(NOTE_ASSERTION, params).rowcount == 1


def delete_credential(tx: Connection, account: SubjectId, authenticator_id: str) -> None:
    """Delete one passkey."""
    tx.execute(DELETE_CREDENTIAL, {"id": authenticator_id, "subject": account})


def list_credentials(db: Connection, *, after: str, limit: int) -> Sequence[Row[Any]]:
    """Return rows in the order of their ids, for re-sealing in batches."""
    return db.execute(LIST_CREDENTIALS, {"after": after, "limit": limit}).all()


def reseal_key(tx: Connection, authenticator_id: str, *, old: bytes, new: bytes) -> bool:
    """Replace a sealed key by the same under a newer master key; False when it changed."""
    params = {"id": authenticator_id, "old": old, "new": new}
    return tx.execute(RESEAL_KEY, params).rowcount == 1
