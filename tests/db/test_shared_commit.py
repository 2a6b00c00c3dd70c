"""What threads write at the same time is committed at once, and fails each for itself."""

import contextvars
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    MetaData,
    String,
    Table,
    event,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.db.engine import Database, note
from twinlock.db.prepared import PreparedConnection
from twinlock.db.shared_commit import SharedCommit

metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("id", String(8), primary_key=True),
    # Looked at by the commit alone, which makes one that fails.
    Column("of", ForeignKey("thing.id", deferrable=True, initially="DEFERRED")),
)

INSERT = insert(thing)
INSERT_OR_UNDO_ALL = insert(thing).prefix_with("OR ROLLBACK")
WAIT_SECONDS = 10
MAIN = threading.main_thread().ident or 0

who = contextvars.ContextVar("who", default="nobody")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "database"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{path}")
    metadata.create_all(database.engine)
    yield database
    database.close()


class Crowd:
    """Threads of which the first holds the transaction until all others wait for it."""

    def __init__(self, database: Database, pool: ThreadPoolExecutor) -> None:
        self._database = database
        self._pool = pool
        self._holds, self._may_go = threading.Event(), threading.Event()

    def write(
        self, first: Callable[[Connection], Any], *others: Callable[[Connection], Any]
    ) -> list[Future[Any]]:
        def hold(tx: Connection) -> Any:
            self._holds.set()
            assert self._may_go.wait(WAIT_SECONDS)
            return first(tx)

        futures = [self._pool.submit(self._database.transaction_once, hold)]
        assert self._holds.wait(WAIT_SECONDS)
        shared = self._database._shared
        assert shared is not None
        for number, one in enumerate(others, 1):
            futures.append(self._pool.submit(self._database.transaction_once, one))
            while len(shared._waiting) < number:
                pass
        self._may_go.set()
        return futures


@pytest.fixture
def crowd(database: Database) -> Iterator[Crowd]:
    with ThreadPoolExecutor(8) as pool:
        yield Crowd(database, pool)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    done: list[object] = []
    commit = PreparedConnection.commit_work

    def noted(self: PreparedConnection) -> bool:
        done.append(self)
        return commit(self)

    monkeypatch.setattr(PreparedConnection, "commit_work", noted)
    return done


def adding(name: str, **given: str) -> Callable[[Connection], str]:
    def add(tx: Connection) -> str:
        tx.execute(INSERT, {"id": name, "of": None, **given})
        return name

    return add


def failing(name: str) -> Callable[[Connection], None]:
    def fail(tx: Connection) -> None:
        adding(name)(tx)
        raise LookupError(name)

    return fail


def rows(path: Path) -> list[str]:
    """Return what is on the disk, as another process finds it."""
    with sqlite3.connect(path) as other:
        return [name for (name,) in other.execute("SELECT id FROM thing ORDER BY id")]


def test_who_waits_is_committed_with_who_writes(
    crowd: Crowd, path: Path, commits: list[object]
) -> None:
    done = crowd.write(*(adding(name) for name in "abcdef"))

    assert [one.result() for one in done] == list("abcdef")
    assert rows(path) == list("abcdef")
    assert len(commits) == 1


def test_nobody_is_told_before_the_commit(database: Database, path: Path) -> None:
    def write_and_look(number: int) -> bool:
        database.transaction(adding(f"{number:03}"))
        return f"{number:03}" in rows(path)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_look, range(200)))


def test_who_fails_behind_others_undoes_itself_alone(crowd: Crowd, path: Path) -> None:
    first, failed, last = crowd.write(adding("a"), failing("b"), adding("c"))

    assert (first.result(), last.result()) == ("a", "c")
    with pytest.raises(LookupError):
        failed.result()
    assert rows(path) == ["a", "c"]


def test_who_fails_before_others_undoes_itself_alone(crowd: Crowd, path: Path) -> None:
    failed, second, last = crowd.write(failing("a"), adding("b"), adding("c"))

    with pytest.raises(LookupError):
        failed.result()
    assert (second.result(), last.result()) == ("b", "c")
    assert rows(path) == ["b", "c"]


def test_a_broken_constraint_is_its_own_authors_error(crowd: Crowd, path: Path) -> None:
    first, broken, last = crowd.write(adding("a"), adding("a"), adding("b"))

    with pytest.raises(IntegrityError):
        broken.result()
    assert (first.result(), last.result()) == ("a", "b")
    assert rows(path) == ["a", "b"]


def test_a_commit_that_fails_is_told_to_everyone_in_it(
    crowd: Crowd, database: Database, path: Path
) -> None:
    done = crowd.write(adding("a"), adding("b", of="nobody"), adding("c"))

    for one in done:
        with pytest.raises(IntegrityError):
            one.result()
    assert rows(path) == []
    assert database.transaction(adding("d")) == "d"


def test_what_the_database_undid_is_told_to_nobody_as_done(
    crowd: Crowd, database: Database, path: Path
) -> None:
    """As where the disk is full: SQLite itself rolls back, with all that came before."""

    def undo_all(tx: Connection) -> None:
        tx.execute(INSERT_OR_UNDO_ALL, {"id": "a", "of": None})

    *lost, last = crowd.write(adding("a"), adding("b"), undo_all, adding("c"))

    for one in lost:
        with pytest.raises((DatabaseUnavailableError, IntegrityError)):
            one.result()
    assert last.result() == "c"
    assert rows(path) == ["c"]


def test_what_sqlalchemy_executes_its_own_way_is_undone_as_well(
    crowd: Crowd, database: Database, path: Path
) -> None:
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: None)

    first, failed, last = crowd.write(adding("a"), failing("b"), adding("c"))

    assert (first.result(), last.result()) == ("a", "c")
    assert isinstance(failed.exception(), LookupError)
    assert rows(path) == ["a", "c"]


def test_each_work_is_done_in_its_own_context(database: Database, crowd: Crowd) -> None:
    """A step of another request must not see what was told for this one."""

    def named(tx: Connection) -> str:
        return who.get()

    def write(name: str) -> str:
        who.set(name)
        return database.transaction(named)

    with ThreadPoolExecutor(8) as pool:
        names = [str(number) for number in range(100)]
        assert list(pool.map(write, names)) == names


def test_each_is_told_of_its_own_commit_on_its_own_thread(database: Database, crowd: Crowd) -> None:
    told: list[tuple[int, list[object]]] = []
    database.committed = lambda notes: told.append((threading.get_ident(), list(notes)))

    def noting(tx: Connection) -> int:
        note(tx, threading.get_ident())
        return 0

    def failing_with_note(tx: Connection) -> None:
        note(tx, "never")
        raise LookupError

    done = crowd.write(noting, failing_with_note, noting)

    assert isinstance(done[1].exception(), LookupError)
    assert (done[0].result(), done[2].result()) == (0, 0)
    assert len({thread for thread, _ in told}) == len(told) == 2
    assert all("never" not in notes for _, notes in told)


def test_who_waits_too_long_gives_up_and_is_never_done(path: Path) -> None:
    done: list[str] = []
    begun, may_go = threading.Event(), threading.Event()

    def transact(work: Callable[[Any], None]) -> None:
        begun.set()
        assert may_go.wait(WAIT_SECONDS)
        work(Turns())

    class Turns:
        notes: list[object]

    shared = SharedCommit(transact, patience=0.05)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(shared.run, lambda tx: done.append("leader"), [])
        assert begun.wait(WAIT_SECONDS)
        with pytest.raises(DatabaseUnavailableError):
            shared.run(lambda tx: done.append("late"), [])
        may_go.set()
        leader.result()

    assert done == ["leader"]
    shared.run(lambda tx: done.append("next"), [])
    assert done == ["leader", "next"]


def test_who_cannot_begin_leaves_the_others_their_own_try(path: Path) -> None:
    tries: list[str] = []

    def transact(work: Callable[[Any], None]) -> None:
        tries.append("try")
        raise DatabaseUnavailableError("no")

    shared = SharedCommit(transact, patience=WAIT_SECONDS)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(shared.run, lambda tx: None, []) for _ in range(4)]

    assert all(isinstance(one.exception(), DatabaseUnavailableError) for one in done)
    assert len(tries) == 4


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Have SIGINT interrupt, also where the tests were started in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_who_is_interrupted_while_waiting_keeps_nobody_from_writing(database: Database) -> None:
    """As Ctrl-C interrupts the main thread of a script."""
    shared = database._shared
    assert shared is not None
    holds, is_interrupted = threading.Event(), threading.Event()

    def hold(tx: Connection) -> None:
        holds.set()
        while not shared._waiting:
            pass
        signal.pthread_kill(MAIN, signal.SIGINT)  # wakes it, as Ctrl-C does
        assert is_interrupted.wait(WAIT_SECONDS)
        raise LookupError  # its transaction is undone, and the next one who waits would lead

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(database.transaction_once, hold)
        assert holds.wait(WAIT_SECONDS)
        with pytest.raises(KeyboardInterrupt):
            database.transaction_once(lambda tx: tx.execute(INSERT, {"id": "mine"}))
        is_interrupted.set()
        assert isinstance(held.exception(WAIT_SECONDS), LookupError)

    database.transaction_once(lambda tx: tx.execute(INSERT, {"id": "next"}))
    assert database.reading(lambda db: db.scalars(select(thing.c.id)).all()) == ["next"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_while_others_write_writes_for_itself() -> None:
    entered, ends = threading.Event(), threading.Event()

    def transact(work: Callable[[Any], None]) -> None:
        if not entered.is_set():
            entered.set()
            assert ends.wait(WAIT_SECONDS)
        work(Quiet())

    class Quiet:
        notes: Any = None

    shared = SharedCommit(transact, patience=1)
    with ThreadPoolExecutor(1) as pool:
        leading = pool.submit(shared.run, lambda tx: "parent", [])
        assert entered.wait(WAIT_SECONDS)
        child = os.fork()
        if child == 0:
            os._exit(0 if shared.run(lambda tx: "child", []) == "child" else 1)
        ends.set()
        assert leading.result(WAIT_SECONDS) == "parent"

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
