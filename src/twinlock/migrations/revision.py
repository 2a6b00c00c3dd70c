"""The revision that this program was written for, compared without loading Alembic."""

from typing import Final

from sqlalchemy import Connection, inspect, text

from twinlock.core.errors import NotInitializedError, SchemaError
from twinlock.db.engine import Database

HEAD: Final = "0017"

GET_REVISION = text("SELECT version_num FROM alembic_version")


def get_revision(connection: Connection) -> str | None:
    """Return the database's revision, or None where nothing was migrated yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(GET_REVISION).scalar_one_or_none()


def require_current(database: Database) -> None:
    """Refuse to work on a database of another revision.

    Raises:
        NotInitializedError: It is empty.
        SchemaError: It is older or newer than this program.
    """
    revision = database.reading(get_revision)
    if revision is None:
        raise NotInitializedError("this database is empty: run `twinlock init`")
    if revision != HEAD:
        raise SchemaError(
            f"the database is at revision {revision} and this program at {HEAD}: "
            "run `twinlock db upgrade`, or the program that belongs to it"
        )
