"""Making an installation, opening it with its keys, and recovering it from a backup.

``init`` may be repeated and raced: each step leaves what is there alone, and the one row of
the installation decides whose keys a database belongs to.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.accounts.email_changes import store as staged_emails
from twinlock.accounts.resets import store as resets
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import NotInitializedError, SealBrokenError, WrongKeyError
from twinlock.core.keyring import DigestKey, Keyring
from twinlock.core.secrets import random_bytes
from twinlock.db.engine import Database
from twinlock.devices import store as devices
from twinlock.flows.parts import Parts
from twinlock.installation import store
from twinlock.mail import store as outbox
from twinlock.pending import store as pending
from twinlock.policies.store import PolicyBook
from twinlock.sessions import store as sessions
from twinlock.tokens import rotation as signing_keys
from twinlock.tokens import store as signing_key_store

log = logging.getLogger("twinlock.installation")

_KEY_CHECK: Final = b"these keys belong to this database, and it has a row of policies"
"""What was sealed before that row was there from the beginning says less."""
_DIGEST_KEY_BYTES: Final = 32


def create_installation(
    database: Database, keyring: Keyring, caller: Caller, *, now: datetime
) -> bool:
    """Write the installation's row; False when there is one already.

    Raises:
        WrongKeyError: There is one, and it belongs to other keys.
    """
    is_created = database.transaction(_create, keyring, caller, now=now)
    open_installation(database, keyring)
    return is_created


def open_installation(database: Database, keyring: Keyring) -> DigestKey:
    """Return the digest key, which proves that the master keys are this database's.

    Raises:
        NotInitializedError: The database was migrated but never initialised.
        WrongKeyError: The keys do not open it.
    """
    row = database.reading(store.get_installation)
    if row is None:
        raise NotInitializedError("this database was never initialised: run `twinlock init`")
    return DigestKey(_open(keyring, row)[1])


def begin_policies(database: Database, keyring: Keyring) -> None:
    """Write the row of the policies once, in an installation of an earlier release.

    The sealed check value says that it was done: a row that is gone later is not written again.

    Raises:
        WrongKeyError: The keys do not open the database.
    """
    row = database.reading(store.get_installation)
    if row is not None and _open(keyring, row)[0] != _KEY_CHECK:
        database.transaction(_begin_policies, keyring, row)


def reseal_installation(tx: Connection, keyring: Keyring) -> int:
    """Seal the row under the newest master key; return how many values were re-sealed.

    Raises:
        WrongKeyError: The keys do not open it.
    """
    row = store.get_installation(tx)
    if row is None or not keyring.is_stale_seal(row.key_check):
        return 0
    check, digest_key = _open(keyring, row)
    resealed = store.reseal_installation(
        tx,
        old=row,
        key_check=_seal(keyring, "key_check", check),
        digest_key=_seal(keyring, "digest_key", digest_key),
    )
    return 2 if resealed else 0


def note_restored(parts: Parts, caller: Caller, *, now: datetime) -> dict[str, int]:
    """After a backup was put back, end all that could have been used or revoked since.

    Returns:
        How many sessions, pending ceremonies, devices, waiting mails, recovery codes, and changes
        that admins had asked for were ended.
    """
    ended = parts.database.transaction(_note_restored, parts, caller, now=now)
    parts.marks.bump_all()
    return ended


def _create(tx: Connection, keyring: Keyring, caller: Caller, *, now: datetime) -> bool:
    is_created = store.insert_installation(
        tx,
        key_check=_seal(keyring, "key_check", _KEY_CHECK),
        digest_key=_seal(keyring, "digest_key", random_bytes(_DIGEST_KEY_BYTES)),
        now=now,
    )
    if is_created:
        PolicyBook(keyring).write_first(tx, now=now)
        audit.record(tx, Event(EventType.INSTALLATION_CREATED, now, caller))
    return is_created


def _begin_policies(tx: Connection, keyring: Keyring, row: Row[Any]) -> None:
    PolicyBook(keyring).write_first(tx, now=row.created_at)
    store.reseal_installation(
        tx,
        old=row,
        key_check=_seal(keyring, "key_check", _KEY_CHECK),
        digest_key=_seal(keyring, "digest_key", _open(keyring, row)[1]),
    )


def _note_restored(
    tx: Connection, parts: Parts, caller: Caller, *, now: datetime
) -> dict[str, int]:
    # A key that was retired since the backup signs and verifies again: none of them may.
    signing_keys.rotate(tx, parts.keyring, now=now)
    for key in signing_key_store.find_all(tx):
        signing_key_store.retire(tx, key.kid, now=now)
    ended = {
        "sessions": sessions.end_every_session(tx, now=now),
        "pending": pending.delete_every_pending(tx),
        "devices": devices.delete_every_device(tx),
        "mails": outbox.void_every_mail(tx),
        "recovery_codes": parts.recovery_codes.void_everything(tx),
        # The link that stops them went with the rest, and it may have been used since the backup.
        "factor_resets": resets.delete_every_reset(tx),
        "email_changes": staged_emails.delete_every_staged(tx),
    }
    details: dict[str, str | int | Sequence[str]] = dict(ended)
    audit.record(tx, Event(EventType.DATABASE_RESTORED, now, caller, details=details))
    return ended


def _open(keyring: Keyring, row: Row[tuple[object, ...]]) -> tuple[bytes, bytes]:
    try:
        opened = tuple(
            keyring.open(
                getattr(row, column),
                table="installation",
                column=column,
                row=str(store.THE_ROW),
                account="",
            )
            for column in ("key_check", "digest_key")
        )
    except SealBrokenError as error:
        log.critical("wrong_master_key", extra={"keys": keyring.ids})
        raise WrongKeyError(
            "the master keys do not open this database. Put the key file of this database "
            "back, or set TWINLOCK_SECRET_KEYS to its keys; nothing was changed."
        ) from error
    return opened[0], opened[1]


def _seal(keyring: Keyring, column: str, plain: bytes) -> bytes:
    return keyring.seal(
        plain, table="installation", column=column, row=str(store.THE_ROW), account=""
    )
