"""Reads on the event loop's thread: they wait for nobody, and leave the rest to threads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from tests.support.house import House, bearer, sign_in
from twinlock.db.engine import Database
from twinlock.db.inline import WouldWaitError

SLOW = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) "
    "SELECT max(i) FROM n"
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """With one table of one row."""
    database = Database(f"sqlite:///{tmp_path / 'inline.db'}")
    database.transaction(lambda tx: tx.execute(text("CREATE TABLE t (i INTEGER)")))
    database.transaction(insert)
    yield database
    database.close()


def insert(tx: Connection) -> None:
    tx.execute(text("INSERT INTO t VALUES (1)"))


def count(db: Connection) -> int:
    number: int = db.execute(text("SELECT count(*) FROM t")).scalar_one()
    return number


def test_it_reads_once_a_thread_has_opened_it(database: Database) -> None:
    with pytest.raises(WouldWaitError):
        database.reading_inline(count)
    database.prepare_inline()
    database.prepare_inline()

    assert database.reading_inline(count) == 1


def test_each_read_sees_what_was_committed_before(database: Database) -> None:
    database.prepare_inline()
    before = database.reading_inline(count)

    database.transaction(insert)

    assert (before, database.reading_inline(count)) == (1, 2)


def test_it_does_not_wait_for_a_writer(database: Database) -> None:
    database.prepare_inline()

    def write_and_read(tx: Connection) -> int:
        insert(tx)
        return database.reading_inline(count)

    assert database.transaction(write_and_read) == 1


def test_it_writes_nothing(database: Database) -> None:
    database.prepare_inline()

    with pytest.raises(WouldWaitError):
        database.reading_inline(insert)

    assert database.reading_inline(count) == 1


def test_one_reads_at_a_time(database: Database) -> None:
    database.prepare_inline()

    def read_inside(db: Connection) -> int:
        return database.reading_inline(count)

    with pytest.raises(WouldWaitError):
        database.reading_inline(read_inside)
    assert database.reading_inline(count) == 1


def test_after_a_slow_read_threads_read(database: Database) -> None:
    database.prepare_inline()

    assert database.reading_inline(lambda db: db.execute(SLOW).scalar_one()) == 3_000_000

    with pytest.raises(WouldWaitError):
        database.reading_inline(count)


def test_what_cannot_be_opened_is_left_to_threads(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'nowhere' / 'inline.db'}")

    database.prepare_inline()

    with pytest.raises(WouldWaitError):
        database.reading_inline(count)
    database.close()


def test_a_closed_database_reads_nothing(database: Database) -> None:
    database.prepare_inline()
    database.close()

    with pytest.raises(WouldWaitError):
        database.reading_inline(count)


def test_a_session_is_seen_for_the_first_time_without_a_thread(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        first, second = (bearer(sign_in(client)) for _ in range(2))
        assert client.get("/users/me", headers=first).status_code == 200
        sqlite_house.runtime.workers.close()  # no thread is left

        assert client.get("/users/me", headers=second).status_code == 200


def test_what_cannot_be_read_at_once_is_read_by_a_thread(sqlite_house: House) -> None:
    with sqlite_house.open() as client:
        sqlite_house.create()
        first, second, ended = (bearer(sign_in(client)) for _ in range(3))
        assert client.get("/users/me", headers=first).status_code == 200
        client.post("/api/logout", json={}, headers=ended)
        sqlite_house.database.reading_inline(lambda db: db.execute(SLOW).scalar_one())

        assert client.get("/users/me", headers=second).status_code == 200
        assert client.get("/users/me", headers=ended).status_code == 401
