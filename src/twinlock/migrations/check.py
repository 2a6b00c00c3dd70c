"""Compares a database with what this program declares, and looks for damage in SQLite files."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Column, Connection, Constraint, Index, Table, text

from twinlock.db.base import metadata
from twinlock.db.engine import Database
from twinlock.migrations import tables as _every_table  # noqa: F401 - declares them

MAX_FINDINGS: Final = 20

INTEGRITY_CHECK = text(f"PRAGMA integrity_check({MAX_FINDINGS})")
FOREIGN_KEY_CHECK = text("PRAGMA foreign_key_check")


def find_differences(database: Database) -> list[str]:
    """Return in which the database's tables differ from the declared ones, a phrase each."""
    return database.reading(_find_differences)


def find_damage(database: Database) -> list[str]:
    """Return what SQLite finds damaged in its file; PostgreSQL watches over its own."""
    return database.reading(_find_damage) if database.is_sqlite else []


def _find_differences(connection: Connection) -> list[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [_phrase(found) for found in compare_metadata(context, metadata)]


def _find_damage(connection: Connection) -> list[str]:
    found = [str(row[0]) for row in connection.execute(INTEGRITY_CHECK)]
    orphans = [
        f"{row[0]} refers to a missing {row[2]}" for row in connection.execute(FOREIGN_KEY_CHECK)
    ]
    return [line for line in found if line != "ok"] + orphans


def _phrase(found: Any) -> str:
    """Return what Alembic found, as ``add column account.email``."""
    step = found[0][0] if isinstance(found, list) else found[0]
    named = found[0][1:] if isinstance(found, list) else found[1:]
    return f"{step.replace('_', ' ')} {'.'.join(_names(named))}"


def _names(things: Any) -> Iterator[str]:
    """Give table and part; beside a column its table stands already."""
    for thing in things:
        match thing:
            case str():
                yield thing
            case Index() | Constraint():
                table = getattr(thing.table, "name", "?")
                yield f"{table}.{thing.name}"
            case Table() | Column():
                yield thing.name
            case _:
                pass  # a schema that is not set, a type, a default
