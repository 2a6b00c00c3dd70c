"""All SQL of the signing keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Connection,
    Insert,
    Row,
    bindparam,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import SyntaxExtension

from twinlock.tokens.signing_keys import StoredKey
from twinlock.tokens.tables import signing_key


class _UnlessActiveOneExists(SyntaxExtension, ClauseElement):
    """The end of an INSERT that leaves an existing active key alone.

    SQLAlchemy's own construct exists once per database, and importing PostgreSQL's costs an
    SQLite process 0.1 s.
    """

    inherit_cache = True

    def apply_to_insert(self, insert_stmt: Insert) -> None:
        insert_stmt.apply_syntax_extension_point(lambda existing: [*existing, self], "post_values")


@compiles(_UnlessActiveOneExists)
def _unless_active_one_exists(element: ClauseElement, compiler: Any, **kwargs: Any) -> str:
    return "ON CONFLICT (active) DO NOTHING"


_INSERT_ACTIVE = insert(signing_key).ext(_UnlessActiveOneExists()).returning(signing_key.c.id)
_NEWEST_FIRST = (signing_key.c.created_at.desc(), signing_key.c.id)
_ALL = select(signing_key).order_by(*_NEWEST_FIRST)
_ACTIVE = select(signing_key).where(signing_key.c.active)
_USABLE = _ALL.where(
    signing_key.c.retired_at.is_(None),
    or_(signing_key.c.active, signing_key.c.signed_until > bindparam("signed_after")),
)
_STOP_SIGNING = (
    update(signing_key)
    .where(signing_key.c.id == bindparam("kid"), signing_key.c.active)
    .values(active=None, signed_until=bindparam("now"))
)
_RETIRE = (
    update(signing_key)
    .where(
        signing_key.c.id == bindparam("kid"),
        signing_key.c.active.is_(None),
        signing_key.c.retired_at.is_(None),
    )
    .values(retired_at=bindparam("now"))
)
_RESEAL = (
    update(signing_key)
    .where(signing_key.c.id == bindparam("kid"), signing_key.c.private_key == bindparam("old"))
    .values(private_key=bindparam("new"))
)


def insert_active(tx: Connection, key: StoredKey) -> bool:
    """Store *key* as the active one unless there is one; tell whether it was stored."""
    row = {
        "id": key.kid,
        "algorithm": key.algorithm,
        "public_jwk": key.public_jwk,
        "private_key": key.private_key,
        "active": True,
        "signed_until": None,
        "retired_at": None,
        "created_at": key.created_at,
    }
    return tx.execute(_INSERT_ACTIVE, row).scalar() is not None


def get_active(connection: Connection) -> StoredKey | None:
    """Return the key that signs, or None before the first was made."""
    row = connection.execute(_ACTIVE).one_or_none()
    return None if row is None else _stored(row)


def find_usable(connection: Connection, *, signed_after: datetime) -> list[StoredKey]:
    """Return the active key and those not retired that signed after a moment, newest first."""
    return [_stored(row) for row in connection.execute(_USABLE, {"signed_after": signed_after})]


def find_all(connection: Connection) -> list[StoredKey]:
    """Return every key there ever was, newest first."""
    return [_stored(row) for row in connection.execute(_ALL)]


def stop_signing(tx: Connection, kid: str, *, now: datetime) -> bool:
    """Take the active mark from a key; tell whether it had it."""
    return tx.execute(_STOP_SIGNING, {"kid": kid, "now": now}).rowcount == 1


def retire(tx: Connection, kid: str, *, now: datetime) -> bool:
    """Stop accepting a key's tokens; tell whether it was neither active nor retired."""
    return tx.execute(_RETIRE, {"kid": kid, "now": now}).rowcount == 1


def replace_seal(tx: Connection, kid: str, *, old: bytes, new: bytes) -> bool:
    """Replace a sealed private key if it still is *old*; tell whether it was."""
    return tx.execute(_RESEAL, {"kid": kid, "old": old, "new": new}).rowcount == 1


def _stored(row: Row[Any]) -> StoredKey:
    return StoredKey(
        kid=row.id,
        algorithm=row.algorithm,
        public_jwk=row.public_jwk,
        private_key=row.private_key,
        active=bool(row.active),
        signed_until=row.signed_until,
        retired_at=row.retired_at,
        created_at=row.created_at,
    )
