"""Every statement finds its rows by an index, whatever the number of accounts."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Connection, bindparam, select, text

from tests.support import plans
from tests.support.plans import Statement
from tests.support.postgres import PostgresServer
from twinlock.db.engine import Database
from twinlock.factors.totp.tables import totp
from twinlock.testing.installation import migrate

ROWS = 1_500

WHOLE = {
    "accounts.entries.store._JOINED": "what others narrow down",
    "accounts.store._ACCOUNT": "what others narrow down",
    "mail.store._SHOWN": "what others narrow down",
    "accounts.entries.store.ANY_ENTRY": "the first row, whichever it is",
    "accounts.entries.store.COUNT_ENTRIES": "an operator's count, of a host's own users",
    "accounts.search.store.COUNT_CREATED": "stops at a number that the console sets",
    "accounts.store.COUNT_SCHEMES": "once in ten minutes, over an index that holds nothing else",
    "devices.store.DELETE_EVERY_DEVICE": "after a backup was restored: all of them",
    "factors.authenticators.store.COUNT_HOLDERS": "stops at a number that the console sets",
    "factors.authenticators.store.COUNT_HOLDERS_OF": "stops at a number that the console sets",
    "factors.recovery_codes.store.DELETE_ALL_CODES": "after a lost key: all of them",
    "pending.store.DELETE_EVERY_PENDING": "after a backup was restored: all of them",
    "sessions.store.END_EVERY_SESSION": "after a backup was restored: all of them",
    "sessions.store.MARK_EVERY_CHANGED": "after a changed policy: all of them",
}
"""Statements that mean a whole table; no request of a user runs one."""

STATEMENTS = {statement.name: statement for statement in plans.statements()}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres")])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database with many rows, as statistics of a running one describe it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'full.sqlite3'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url(server.create_database())
    migrate(url)
    with closing(Database(url)) as database:
        database.transaction(plans.fill, ROWS)
        if not database.is_sqlite:  # a server analyses by itself; SQLite plans without numbers
            with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as one:
                one.execute(text("ANALYZE"))
    return url


@pytest.fixture(scope="module")
def database(full: str) -> Iterator[Database]:
    with closing(Database(full)) as database:
        yield database


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_reads_no_more_than_it_asks_for(database: Database, name: str) -> None:
    def look(connection: Connection, statement: Statement) -> list[str]:
        return plans.scans(connection, statement)

    found = database.reading(look, STATEMENTS[name])

    if name not in WHOLE:
        assert found == []


def test_every_statement_that_means_a_whole_table_is_there() -> None:
    assert WHOLE.keys() <= STATEMENTS.keys()


def test_a_column_without_an_index_is_told(database: Database) -> None:
    without = select(totp).where(totp.c.algorithm == bindparam("algorithm"))

    assert database.reading(plans.scans, Statement("made up", without)) != []
