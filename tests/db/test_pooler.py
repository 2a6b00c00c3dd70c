"""What a pooler in transaction mode must not be asked for."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Integer, bindparam, select, text

from twinlock.db.engine import Database

pytestmark = pytest.mark.postgres

ONE = select(bindparam("one", 1, type_=Integer()))


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url, pool_size=1, has_pooler=True)
    yield database
    database.close()


def settings(db: Connection) -> tuple[str, str]:
    row = db.execute(
        text("select current_setting('statement_timeout'), current_setting('timezone')")
    ).one()
    return row[0], row[1]


def test_each_transaction_is_told_what_a_session_is_told_elsewhere(database: Database) -> None:
    """A pooler refuses or drops what a session's start says."""
    assert database.reading(settings) == ("5s", "UTC")
    assert database.transaction(settings) == ("5s", "UTC")


def test_nothing_of_it_stays_with_the_connection(database: Database) -> None:
    database.transaction(settings)
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        left = driver.execute("select current_setting('statement_timeout')").fetchone()

    assert left == ("0",)


def test_no_statement_is_prepared_on_the_server(database: Database) -> None:
    """The next transaction may be on a connection that does not know it."""

    def often(db: Connection) -> int:
        for _ in range(20):
            db.execute(ONE, {"one": 1})
        return int(db.execute(text("select count(*) from pg_prepared_statements")).scalar_one())

    assert database.transaction(often) == 0
