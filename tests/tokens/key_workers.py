"""What other processes do to the signing keys in these tests."""

from collections.abc import Callable
from datetime import UTC, datetime

from twinlock.core.keyring import Keyring
from twinlock.db.engine import Database
from twinlock.tokens import rotation, store

KEYRING = Keyring([b"n" * 32])
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def start(line_up: Callable[[], object], url: str) -> tuple[str | None, str | None]:
    """Start on an empty database together with others; return the active key, twice."""
    database = Database(url)
    line_up()
    database.transaction(rotation.ensure_active, KEYRING, now=NOW)
    seen = active_kid(database)
    line_up()
    at_last = active_kid(database)
    database.close()
    return seen, at_last


def active_kid(database: Database) -> str | None:
    """Return the id of the key that signs."""
    key = database.reading(store.get_active)
    return None if key is None else key.kid


def rotate(line_up: Callable[[], object], url: str) -> tuple[bool, str | None]:
    """Rotate together with others; return whether it was this one, and the active key."""
    database = Database(url)
    line_up()
    is_ours = database.transaction(rotation.rotate, KEYRING, now=NOW)
    line_up()
    active = active_kid(database)
    database.close()
    return is_ours, active
