"""A database with the tables of this block alone."""

from collections.abc import Iterator

import pytest
from sqlalchemy import ClauseElement, Connection

from tests.support.postgres import PostgresServer
from twinlock.db.base import metadata
from twinlock.db.engine import Database
from twinlock.throttle.familiar.tables import familiar
from twinlock.throttle.tables import throttle

TABLES = [throttle, familiar]


@pytest.fixture(scope="session")
def throttle_postgres_url(postgres_server: PostgresServer) -> str:
    """One database for all tests of the block: most need three rows, not a copy of their own."""
    url = postgres_server.url(postgres_server.create_database())
    database = Database(url)
    metadata.create_all(database.engine, tables=TABLES)
    database.close()
    return url


@pytest.fixture
def throttle_sqlite_url(sqlite_url: str) -> str:
    """A file of the test's own."""
    database = Database(sqlite_url)
    metadata.create_all(database.engine, tables=TABLES)
    database.close()
    return sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of empty tables, once on SQLite and once on PostgreSQL."""
    url = request.getfixturevalue(f"throttle_{request.param}_url")
    assert isinstance(url, str)
    database = Database(url)
    database.transaction(_empty)
    database.close()
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Empty tables, once on SQLite and once on PostgreSQL."""
    database = Database(url, pool_size=20)
    yield database
    database.close()


def plan_of(db: Connection, statement: ClauseElement) -> str:
    """Return how SQLite would find the rows of a statement."""
    text = str(statement.compile(dialect=db.dialect))
    unbound = (None,) * text.count("?")
    return str(db.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", unbound).all())


def _empty(tx: Connection) -> None:
    for table in TABLES:
        tx.execute(table.delete())
