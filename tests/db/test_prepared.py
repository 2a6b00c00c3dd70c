"""The short way to the driver gives what SQLAlchemy's own way gives, and keeps transactions."""

import gc
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from twinlock.db.engine import Database
from twinlock.db.types import UtcDateTime

metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("is_old", Boolean, nullable=False),
    Column("blob", LargeBinary),
    Column("at", UtcDateTime, nullable=False),
)

INSERT = insert(thing)
FIND = select(thing).where(thing.c.size > bindparam("above")).order_by(thing.c.id)
GROW = (
    update(thing)
    .where(thing.c.id == bindparam("which"))
    .values(size=thing.c.size + 1)
    .returning(thing.c.size, thing.c.at)
)
DELETE = delete(thing).where(thing.c.size < bindparam("below"))

MOMENT = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    metadata.create_all(database.engine)
    yield database
    database.close()


def row(name: str, **changed: Any) -> dict[str, Any]:
    return {
        "id": name,
        "size": 2**40,
        "is_old": True,
        "blob": b"\x00\xff",
        "at": MOMENT,
        **changed,
    }


def add(tx: Connection, *rows: dict[str, Any]) -> int:
    return sum(tx.execute(INSERT, one).rowcount for one in rows)


def find(db: Connection) -> list[tuple[Any, ...]]:
    return [tuple(found) for found in db.execute(FIND, {"above": 0})]


def test_nothing_is_left_of_a_database_that_nobody_holds(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    metadata.create_all(database.engine)
    database.transaction(add, row("a"))
    assert len(database.reading(find)) == 1
    dialect = weakref.ref(database.engine.dialect)
    database.close()

    del database
    gc.collect()

    assert dialect() is None


def test_values_of_every_type_come_back_as_they_went(database: Database) -> None:
    database.transaction(add, row("a"), row("b", blob=None, is_old=False, size=1))

    found = database.reading(lambda db: db.execute(FIND, {"above": 0}).all())

    assert [tuple(one) for one in found] == [
        ("a", 2**40, True, b"\x00\xff", MOMENT),
        ("b", 1, False, None, MOMENT),
    ]
    assert (found[0].at.tzinfo, found[0].is_old, found[1].size) == (UTC, True, 1)


def test_both_ways_give_the_same(database: Database) -> None:
    database.transaction(add, row("a"), row("b", blob=None))
    prepared = database.reading(find)
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        seen.append(str(arguments[2]))

    event.listen(database.engine, "before_cursor_execute", note)

    assert database.reading(find) == prepared
    assert len(seen) == 1  # who listens hears of every statement


def test_a_row_count_decides(database: Database) -> None:
    added = database.transaction(add, row("a", size=1), row("b", size=2), row("c", size=3))

    deleted = database.transaction(lambda tx: tx.execute(DELETE, {"below": 3}).rowcount)
    again = database.transaction(lambda tx: tx.execute(DELETE, {"below": 3}).rowcount)

    assert (added, deleted, again) == (3, 2, 0)


def test_returning_gives_rows_of_an_update(database: Database) -> None:
    database.transaction(add, row("a", size=1))

    grown = database.transaction(lambda tx: tx.execute(GROW, {"which": "a"}).one())
    nobody = database.transaction(lambda tx: tx.execute(GROW, {"which": "x"}).one_or_none())

    assert (tuple(grown), nobody) == ((2, MOMENT), None)


def test_a_naive_moment_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="without a timezone"):
        database.transaction(add, row("a", at=MOMENT.replace(tzinfo=None)))


def test_a_broken_constraint_is_sqlalchemys_error(database: Database) -> None:
    with pytest.raises(IntegrityError):
        database.transaction(add, row("a"), row("a"))

    assert database.reading(find) == []


def test_a_savepoint_undoes_only_what_followed_it(database: Database) -> None:
    def work(tx: Connection) -> None:
        add(tx, row("a"))
        with pytest.raises(IntegrityError), tx.begin_nested():
            add(tx, row("b"), row("a"))
        add(tx, row("c"))

    database.transaction(work)

    assert [found[0] for found in database.reading(find)] == ["a", "c"]


def test_an_error_leaves_nothing_behind(database: Database) -> None:
    def work(tx: Connection) -> None:
        add(tx, row("a"))
        raise LookupError

    with pytest.raises(LookupError):
        database.transaction(work)

    assert database.reading(find) == []


def test_reading_sees_one_moment(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    metadata.create_all(database.engine)

    def work(db: Connection) -> list[Any]:
        before = find(db)
        database.transaction(add, row("a"))
        return [before, find(db)]

    assert database.reading(work) == [[], []]
    database.close()


def test_a_writer_holds_the_lock_from_its_start(sqlite_url: str) -> None:
    """A transaction that reads first would fail when it writes later, and could not wait."""
    database, other = Database(sqlite_url), Database(sqlite_url)
    metadata.create_all(database.engine)

    def work(tx: Connection) -> None:
        with other.engine.connect() as plain:
            plain.exec_driver_sql("PRAGMA busy_timeout=0")
            plain.rollback()
            writing = plain.execution_options(twinlock_writes=True)
            with pytest.raises(Exception, match="locked"):
                writing.begin()

    database.transaction(work)
    database.close()
    other.close()
