"""Statements travel to PostgreSQL together, and that changes nothing but how many messages go."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from tests.db.test_prepared import FIND, GROW, INSERT, MOMENT, add, find, metadata, row
from twinlock.core.errors import DatabaseUnavailableError
from twinlock.db.engine import Database
from twinlock.db.wire import Wire

pytestmark = pytest.mark.postgres


class Name(StrEnum):
    A = "a"


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url, pool_size=1)
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each message to the server held."""
    sent: list[int] = []
    talk = Wire._talk

    def noted(self: Wire, letters: list[Any], ending: bytes | None) -> Any:
        sent.append(len(letters))
        return talk(self, letters, ending)

    monkeypatch.setattr(Wire, "_talk", noted)
    return sent


def grow(tx: Connection, which: str = "a") -> Any:
    return tx.execute(GROW, {"which": which})


def test_what_nobody_looks_at_travels_with_the_commit(
    database: Database, messages: list[int]
) -> None:
    def work(tx: Connection) -> None:
        assert find(tx) == []
        tx.execute(INSERT, row("a"))
        grow(tx)
        tx.execute(INSERT, row("b"))

    database.transaction(work)

    assert messages == [1, 3]
    assert [found[0] for found in database.reading(find)] == ["a", "b"]


def test_a_look_at_one_answer_brings_those_before_it(
    database: Database, messages: list[int]
) -> None:
    def work(tx: Connection) -> list[Any]:
        first = tx.execute(INSERT, row("a", size=1))
        second, third = grow(tx), grow(tx)
        assert third.scalar() == 3
        return [first.rowcount, second.rowcount, second.scalar(), third.one().at]

    assert database.transaction(work) == [1, 1, 2, MOMENT]
    assert messages == [3, 0]


def test_an_answer_can_be_looked_at_after_the_end(database: Database) -> None:
    database.transaction(add, row("a"))

    read = database.reading(lambda db: db.execute(FIND, {"above": 0}))
    written = database.transaction(grow)

    assert (len(read.all()), written.rowcount) == (1, 1)


def test_what_follows_an_error_is_not_executed(database: Database) -> None:
    def work(tx: Connection) -> None:
        find(tx)
        tx.execute(INSERT, row("a"))
        tx.execute(INSERT, row("a"))
        tx.execute(INSERT, row("b"))

    for _ in range(2):  # the connection is as good as new
        with pytest.raises(IntegrityError, match="INSERT INTO thing"):
            database.transaction(work)

    assert database.reading(find) == []


def test_an_exception_sends_nothing_that_waits(database: Database, messages: list[int]) -> None:
    def work(tx: Connection) -> None:
        tx.execute(INSERT, row("a"))
        raise LookupError

    with pytest.raises(LookupError):
        database.transaction(work)

    assert messages == []
    assert database.reading(find) == []


def test_a_text_with_nul_is_refused_not_cut(database: Database) -> None:
    with pytest.raises(DataError):
        database.transaction(add, row("a\0b"))

    assert database.reading(find) == []


def test_an_enumeration_is_its_text_and_nothing_is_null(database: Database) -> None:
    database.transaction(add, row(Name.A, blob=None))

    assert database.reading(find)[0][:4] == ("a", 2**40, True, None)


def test_values_that_psycopg_must_write_keep_their_turn(database: Database) -> None:
    database.transaction(add, row("a"), row("b", blob=bytearray(b"b")), row("c", blob=b""))

    assert [found[3] for found in database.reading(find)] == [b"\x00\xff", b"b", b""]


def test_more_than_fit_into_one_message(database: Database, messages: list[int]) -> None:
    def work(tx: Connection) -> None:
        for number in range(1_000):
            tx.execute(INSERT, row(f"{number:04}", blob=bytes(20_000)))

    database.transaction(work)

    assert max(messages) <= 64
    assert len(database.reading(find)) == 1_000


def test_a_server_that_forgot_a_statement_is_told_again(database: Database) -> None:
    """A migration or an administrator may have it forget; nobody notices."""
    database.transaction(add, row("a"))
    with database.engine.connect() as plain:
        plain.exec_driver_sql("SELECT 1")

    def forget(tx: Connection) -> None:
        tx.exec_driver_sql("DEALLOCATE ALL")

    database.transaction(forget)
    database.transaction(add, row("b"))
    database.transaction(forget)
    database.transaction_once(add, row("c"))
    database.transaction(forget)

    assert [found[0] for found in database.reading(find)] == ["a", "b", "c"]


def test_a_connection_that_died_meanwhile_is_replaced(
    database: Database, postgres_url: str
) -> None:
    """Its transaction, though it only writes, is known to have done nothing: it is repeated."""
    database.transaction(add, row("a"))
    _end_connections(postgres_url)

    database.transaction_once(lambda tx: tx.execute(INSERT, row("b")))

    _end_connections(postgres_url)
    assert [found[0] for found in database.reading(find)] == ["a", "b"]


def test_a_commit_that_is_not_answered_is_not_repeated(
    database: Database, postgres_url: str
) -> None:
    def work(tx: Connection) -> None:
        find(tx)
        tx.execute(INSERT, row("a"))
        _end_connections(postgres_url)

    with pytest.raises(DatabaseUnavailableError):
        database.transaction(work)

    assert database.reading(find) == []


def test_another_thread_works_while_one_waits_for_the_server(database: Database) -> None:
    """Whoever waits for a lock must not stand in the way of all others of the process."""
    import threading

    database.transaction(add, row("a"))
    other = Database(str(database.url.render_as_string(hide_password=False)))
    held, done = threading.Event(), threading.Event()

    def hold(tx: Connection) -> None:
        assert grow(tx).rowcount == 1
        held.set()
        assert done.wait(5)

    holder = threading.Thread(target=other.transaction, args=(hold,))
    holder.start()
    assert held.wait(5)
    threading.Timer(0.2, done.set).start()  # runs only if the waiting thread lets it

    assert database.transaction(grow).scalar() == 2**40 + 2
    holder.join()
    other.close()


def _end_connections(url: str) -> None:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
