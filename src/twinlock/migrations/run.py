"""Alembic, run by the program itself on a connection of its own."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, text

from twinlock.core.errors import SchemaError
from twinlock.db.engine import Database
from twinlock.migrations.revision import HEAD, get_revision

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger("twinlock.migrations")

_ADVISORY_LOCK: Final = 0x7477_696E  # "twin": one migration at a time on PostgreSQL

LOCK = text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
NO_TIMEOUT = text("SET LOCAL statement_timeout = 0")


def upgrade(database: Database, *, to: str = HEAD) -> tuple[str | None, str]:
    """Bring the database to revision *to*; returns the revision before and after.

    May be run by several processes at once: one migrates, the others find it done.

    Raises:
        SchemaError: The database belongs to a newer program.
    """
    return database.migrating(_upgrade, to)


def downgrade(database: Database, *, to: str) -> None:
    """Take migrations back: for tests, which try each both ways with rows present."""
    database.migrating(_downgrade, to)


def _upgrade(connection: Connection, to: str) -> tuple[str | None, str]:
    before = _begin(connection)
    if before != to:
        from alembic import command
        from alembic.util import CommandError

        try:
            command.upgrade(_config(connection), to)
        except CommandError as error:
            raise SchemaError(
                f"The database is at revision {before}, which this program does not know: run "
                "the newer program that it belongs to."
            ) from error
        log.info("database_migrated", extra={"from": before, "to": to})
    return before, to


def _downgrade(connection: Connection, to: str) -> None:
    from alembic import command

    _begin(connection)
    command.downgrade(_config(connection), to)


def _begin(connection: Connection) -> str | None:
    if connection.dialect.name == "postgresql":
        connection.execute(NO_TIMEOUT)
        connection.execute(LOCK)
    return get_revision(connection)


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
