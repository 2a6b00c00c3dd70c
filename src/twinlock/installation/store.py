"""All SQL of the installation's one row."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Row, bindparam, insert, literal, select, update

from twinlock.db.conflict import on_conflict
from twinlock.db.types import database_now
from twinlock.installation.tables import installation

THE_ROW: Final = 1
TABLE_NAME: Final = installation.name

GET_INSTALLATION = select(installation).where(installation.c.id == THE_ROW)
INSERT_INSTALLATION = (
    insert(installation).ext(on_conflict("DO NOTHING")).returning(installation.c.id)
)
LOCK_ADMINS = (
    update(installation)
    .where(installation.c.id == THE_ROW)
    .values(admins_changed=installation.c.admins_changed + literal(1, BigInteger))
)
# Something must change: SQLite writes no page that would be what it was.
TOUCH_INSTALLATION = LOCK_ADMINS
GET_TIME = select(database_now())
RESEAL_INSTALLATION = (
    update(installation)
    .where(
        installation.c.id == THE_ROW,
        installation.c.key_check == bindparam("old_key_check"),
        installation.c.digest_key == bindparam("old_digest_key"),
    )
    .values(key_check=bindparam("new_key_check"), digest_key=bindparam("new_digest_key"))
)


def get_installation(db: Connection) -> Row[Any] | None:
    """Return the row, or None in a database that was migrated but never initialised."""
    return db.execute(GET_INSTALLATION).one_or_none()


def insert_installation(
    tx: Connection, *, key_check: bytes, digest_key: bytes, now: datetime
) -> bool:
    """Create the row; False when another process was first."""
    row = {
        "id": THE_ROW,
        "key_check": key_check,
        "digest_key": digest_key,
        "admins_changed": 0,
        "created_at": now,
    }
    return tx.execute(INSERT_INSTALLATION, row).scalar() is not None


def get_time(db: Connection) -> datetime:
    """Return the present moment by the database's own clock."""
    return db.execute(GET_TIME).scalar_one()


def touch_installation(tx: Connection) -> None:
    """Write the row anew, to find out whether anything can be written."""
    tx.execute(TOUCH_INSTALLATION)


def lock_admins(tx: Connection) -> None:
    """Hold the row that everyone who changes who is an admin must update first."""
    tx.execute(LOCK_ADMINS)


def reseal_installation(
    tx: Connection, *, old: Row[Any], key_check: bytes, digest_key: bytes
) -> bool:
    """Replace both sealed values; False when they changed meanwhile."""
    params = {
        "old_key_check": old.key_check,
        "old_digest_key": old.digest_key,
        "new_key_check": key_check,
        "new_digest_key": digest_key,
    }
    return tx.execute(RESEAL_INSTALLATION, params).rowcount == 1
