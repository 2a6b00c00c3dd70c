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

    if name not in plans.WHOLE:
        assert found == []


def test_few_of_all_sessions_are_expected_to_have_changed(database: Database) -> None:
    """Each second: where many are expected, PostgreSQL reads the whole table of a large house."""
    if database.is_sqlite:
        pytest.skip("it plans without numbers")
    changed = STATEMENTS["sessions.store.LIST_CHANGED"]

    assert database.reading(plans.expected_rows, changed) <= ROWS / 100


def test_every_statement_that_means_a_whole_table_is_there() -> None:
    assert plans.WHOLE.keys() <= STATEMENTS.keys()


def test_a_column_without_an_index_is_told(database: Database) -> None:
    without = select(totp).where(totp.c.algorithm == bindparam("algorithm"))

    assert database.reading(plans.scans, Statement("made up", without)) != []
