"""Settings, *Database*: the database and the connections to it."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator

from twinlock.config import values
from twinlock.config.explained import SettingsGroup, setting


class DatabaseSettings(SettingsGroup):
    """The database and the connections to it."""

    heading = "Database"

    database_url: Annotated[str, AfterValidator(values.read_database_url)] = setting(
        description="The database: SQLite for one machine, PostgreSQL for one or several.",
        example="postgresql://twinlock@db.example.com/twinlock",
        follows=lambda above: _sqlite_url(above["data_dir"]),
        default_text="`twinlock.sqlite3` in the data folder",
    )
    database_pool_size: int = setting(
        10,
        "Connections that each process keeps open at most.",
        example="20",
        unit="connections",
        ge=1,
        le=200,
    )
    database_pooler: bool = setting(
        False,
        "Whether a pooler in transaction mode, such as PgBouncer, stands before PostgreSQL.",
        example="true",
    )


def _sqlite_url(folder: Path) -> str:
    return "sqlite:///" + quote(str(folder / "twinlock.sqlite3"))
