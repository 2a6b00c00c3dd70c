"""The life of the signing keys in a database that several processes share.

(none) ── ensure_active ──> active ── rotate ──> verifies only ── retire ──> refused
                                                             └── its tokens expire
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.core.errors import SealBrokenError
from twinlock.core.keyring import Keyring
from twinlock.tokens import store
from twinlock.tokens.signing_keys import KeySet, StoredKey, generate, open_key_set, resealed

LATE_SIGNING: Final = timedelta(minutes=1)
"""How long another process may go on signing with a key that was rotated meanwhile."""


def ensure_active(tx: Connection, keyring: Keyring, *, now: datetime) -> None:
    """Make the first key if there is none; the loser of a race leaves the winner's alone."""
    if store.get_active(tx) is None:
        store.insert_active(tx, generate(keyring, now=now))


def rotate(tx: Connection, keyring: Keyring, *, now: datetime) -> bool:
    """Let a new key sign from now on; tell whether it is this call's and not a rival's.

    Of several rotations at once one takes the active mark from the old key; the others find
    the mark taken again, by its new key, and store nothing.
    """
    old = store.get_active(tx)
    if old is not None:
        store.stop_signing(tx, old.kid, now=now)
    return store.insert_active(tx, generate(keyring, now=now))


def load(
    connection: Connection, keyring: Keyring, *, now: datetime, token_lifetime: timedelta
) -> KeySet:
    """Return the active key and those whose tokens can still live.

    Args:
        token_lifetime: How long an access token lives.

    Raises:
        SealBrokenError: The active key does not open.
        InstallationError: There is no active key.
    """
    signed_after = now - token_lifetime - LATE_SIGNING
    return open_key_set(store.find_usable(connection, signed_after=signed_after), keyring)


def reseal(tx: Connection, keyring: Keyring) -> int:
    """Seal again what an older master key sealed; return how many keys that were.

    A key that does not open is left as it is: whoever loads the set raises the alarm.
    """
    stale = [key for key in store.find_all(tx) if keyring.is_stale_seal(key.private_key)]
    return sum(_reseal(tx, key, keyring) for key in stale)


def _reseal(tx: Connection, key: StoredKey, keyring: Keyring) -> bool:
    try:
        new = resealed(key, keyring)
    except SealBrokenError:
        return False
    return store.replace_seal(tx, key.kid, old=key.private_key, new=new)
