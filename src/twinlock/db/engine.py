"""The connection to the database, and the only place where a transaction begins and ends."""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from twinlock.core.errors import ConfigurationError, DatabaseUnavailableError
from twinlock.db.connections import SILENCE_SECONDS, Connections
from twinlock.db.inline import InlineReads, WouldWaitError
from twinlock.db.prepared import PreparedConnection
from twinlock.db.shared_commit import SharedCommit
from twinlock.db.wording import FORGOTTEN
from twinlock.db.writer_queue import NoQueue, WriterQueue

log = logging.getLogger("twinlock.db")

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], T]

_REPEATS: Final = 2
_REPEATABLE_SQLSTATES: Final = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock (PostgreSQL appendix A)."""
_GOODBYES: Final = frozenset({"57P01", "57P02", "57P05"})
"""What a server says to a connection that it ends: nothing of the transaction is left."""
_WRITES: Final = "twinlock_writes"
_SESSION_ARGS: Final = {
    "options": f"-c statement_timeout={SILENCE_SECONDS}s -c timezone=UTC",
}
_POOLED_BEGIN: Final = (
    f"SET LOCAL statement_timeout = '{SILENCE_SECONDS}s'; SET LOCAL timezone = 'UTC'"
)
_FOREIGN_KEYS_OFF: Final = "PRAGMA foreign_keys=OFF"
_FOREIGN_KEYS_ON: Final = "PRAGMA foreign_keys=ON"
_SQLITE_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={SILENCE_SECONDS * 1000}",
    "foreign_keys=ON",
    "trusted_schema=OFF",
)


class Database:
    """One database, reached through short transactions that the flows open.

    On SQLite reads are deferred and writes take the write lock at their start
    (``BEGIN IMMEDIATE``), in a queue of their own: left to SQLite's busy handler,
    eight concurrent writers wait ten times longer. PostgreSQL runs at READ COMMITTED,
    whatever the server's default, because spending and counting rely on it.
    """

    def __init__(self, url: str, *, pool_size: int = 10, has_pooler: bool = False) -> None:
        """Prepare an engine for *url*; connects at the first use.

        Args:
            url: ``sqlite:///path`` or ``postgresql://…`` (psycopg 3).
            pool_size: Connections kept open, one per thread that works at once.
            has_pooler: Whether PostgreSQL is reached through a pooler in transaction mode,
                which forgets between two transactions what a connection was told.

        Raises:
            ConfigurationError: Neither SQLite nor PostgreSQL, or SQLite in memory.
        """
        self.url = _checked(url)
        self._writer_queue = _writer_queue(self.url)
        self.committed: Callable[[Sequence[object]], None] = _nobody_listens
        """Gets what transactions noted, each after its commit, on the thread of its flow."""
        self.engine = _engine(self.url, has_pooler=has_pooler)
        self._connections = Connections(self.engine, size=pool_size)
        self._inline = InlineReads(self.engine) if self.is_sqlite else None
        self._shared = (
            SharedCommit(self._transact, patience=SILENCE_SECONDS) if self.is_sqlite else None
        )
        begin = _POOLED_BEGIN if has_pooler and not self.is_sqlite else None
        self._begin_writing = "BEGIN IMMEDIATE" if self.is_sqlite else begin
        self._begin_reading = "BEGIN" if self.is_sqlite else begin

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database of one machine."""
        return self.engine.dialect.name == "sqlite"

    def transaction(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, …)``, commit, and return what it returned.

        A serialization failure, a deadlock, a locked SQLite file or a connection that died
        before the commit repeats the whole of it, at most twice. Where the connection dies
        during the commit, nobody knows whether it was done: that is not repeated.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        for _ in range(_REPEATS):
            with contextlib.suppress(_RepeatableError):
                return self._run_writing(work, *args, **kwargs)
        return self.transaction_once(work, *args, **kwargs)

    def transaction_once(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, …)`` and commit, never repeating it: for what counts.

        A connection that died before the commit has counted nothing, and is replaced once.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        with contextlib.suppress(_LostError):
            return self._run_writing_once(work, *args, **kwargs)
        try:
            return self._run_writing_once(work, *args, **kwargs)
        except _LostError as error:
            raise DatabaseUnavailableError(str(error)) from error

    def reading(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(connection, …)`` on one consistent view and return what it returned.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        for is_last in (False, True):
            try:
                with _translated():
                    return self._connections.run(
                        self._begin_reading, PreparedConnection.end_reading, work, args, kwargs
                    )
            except _RepeatableError as error:
                if is_last:
                    raise DatabaseUnavailableError(str(error)) from error
        raise AssertionError("unreachable")  # pragma: no cover

    def reading_inline(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the same at once on the calling thread, be it the event loop's: on SQLite only.

        Raises:
            WouldWaitError: Not without waiting.
        """
        if self._inline is None:
            raise WouldWaitError
        return self._inline.run(work, args, kwargs)

    def prepare_inline(self) -> None:
        """Open what `reading_inline` reads with, on a thread that may wait for it."""
        if self._inline is not None:
            self._inline.open()

    def migrating(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, …)`` as the only writer and without foreign keys, and commit.

        With foreign keys on, SQLite's way of altering a table (copy and drop) would empty
        the tables that refer to it.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        with self._writer_queue, _translated(), self.engine.connect() as plain:
            self._set_foreign_keys(plain, _FOREIGN_KEYS_OFF)
            try:
                connection = plain.execution_options(**{_WRITES: True})
                with connection.begin():
                    return work(connection, *args, **kwargs)
            finally:
                self._set_foreign_keys(plain, _FOREIGN_KEYS_ON)

    def is_held(self) -> bool:
        """Tell, without waiting, whether somebody is writing to the SQLite file right now."""
        if not self.is_sqlite or self.url.database is None:
            return False
        with contextlib.closing(sqlite3.connect(self.url.database, timeout=0)) as probe:
            probe.isolation_level = None
            try:
                probe.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            probe.execute("ROLLBACK")
        return False

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()
        if self._inline is not None:
            self._inline.close()
        self.engine.dispose()
        self._writer_queue.close()

    def _set_foreign_keys(self, connection: Connection, pragma: str) -> None:
        """Tell SQLite outside of any transaction, where alone it listens."""
        driver_connection = connection.connection.driver_connection
        if self.is_sqlite and driver_connection is not None:
            driver_connection.execute(pragma)

    def _run_writing_once(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return self._run_writing(work, *args, **kwargs)
        except _LostError:
            raise
        except _RepeatableError as error:
            raise DatabaseUnavailableError(str(error)) from error

    def _run_writing(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        attempt = _Attempt()
        notes: list[object] = []

        def commit(connection: PreparedConnection) -> bool:
            connection.reach_server()
            attempt.is_committing = True
            return connection.commit_work()

        done: T
        with _translated(attempt):
            if self._shared is not None:
                done = self._shared.run(lambda tx: work(tx, *args, **kwargs), notes)
            else:
                done = self._connections.run(self._begin_writing, commit, work, args, kwargs, notes)
        if notes:
            self.committed(notes)
        return done

    def _transact(self, work: Callable[[PreparedConnection], None]) -> None:
        """Call *work* as the only writer to the SQLite file, and commit."""
        commit = PreparedConnection.commit_work
        with self._writer_queue:
            self._connections.run(self._begin_writing, commit, work, (), {})


def note(tx: Connection, happened: object) -> None:
    """Report *happened* to `Database.committed` after the commit, and only then."""
    if isinstance(tx, PreparedConnection):
        tx.notes.append(happened)


def _nobody_listens(notes: Sequence[object]) -> None:
    """Stand in for `Database.committed` until somebody listens."""


class _RepeatableError(Exception):
    """The transaction left nothing behind and may be tried again."""


class _Attempt:
    """How far a transaction has come."""

    is_committing = False


class _LostError(_RepeatableError):
    """Its connection died before the commit."""


@contextlib.contextmanager
def _translated(attempt: _Attempt | None = None) -> Iterator[None]:
    """Turn what drivers raise into our two outcomes: try again, or unavailable."""
    try:
        yield
    except DBAPIError as error:
        is_committing = attempt is not None and attempt.is_committing
        if _is_repeatable(error):
            raise _RepeatableError(type(error.orig).__name__) from error
        if _is_lost(error) and not (is_committing and error.connection_invalidated):
            raise _LostError(type(error.orig).__name__) from error
        if _is_our_fault(error):
            raise
        if is_committing and error.connection_invalidated:
            log.error("commit_unanswered", extra={"error": type(error.orig).__name__})
            raise DatabaseUnavailableError("the commit was not answered") from error
        state = getattr(error.orig, "sqlstate", None)
        log.error("database_failed", extra={"error": type(error.orig).__name__, "sqlstate": state})
        raise DatabaseUnavailableError(type(error.orig).__name__) from error


def _is_repeatable(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in _REPEATABLE_SQLSTATES or "database is locked" in str(error.orig)


def _is_lost(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state in FORGOTTEN:
        return True
    return error.connection_invalidated and (state is None or state in _GOODBYES)


def _is_our_fault(error: DBAPIError) -> bool:
    """Tell a wrong statement or a broken constraint from a database in trouble."""
    return type(error).__name__ in {"IntegrityError", "ProgrammingError", "DataError"}


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError) as error:
        raise ConfigurationError("TWINLOCK_DATABASE_URL is not a database URL") from error
    match parsed.get_backend_name():
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return parsed.set(drivername="sqlite+pysqlite")
        case "sqlite":
            raise ConfigurationError("TWINLOCK_DATABASE_URL names no file: sqlite:///path/to/file")
        case other:
            raise ConfigurationError(f"TWINLOCK_DATABASE_URL: {other} is not supported")


def _writer_queue(url: URL) -> WriterQueue | NoQueue:
    if url.get_backend_name() != "sqlite":
        return NoQueue()
    return WriterQueue(Path(f"{url.database}-writer"), patience=SILENCE_SECONDS)


def _engine(url: URL, *, has_pooler: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",
        poolclass=NullPool,  # see `Connections`
        hide_parameters=True,  # an error's text ends in logs, a host's among them
        connect_args={
            "connect_timeout": SILENCE_SECONDS,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
            # Who waits for an answer sends nothing: only these find out that nobody is there.
            "keepalives_idle": 2,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            # Ours are prepared by `wire.py`, whose statements psycopg would discard with its own.
            # Behind a pooler none is: the next transaction may be on another connection.
            "prepare_threshold": None,
            **({} if has_pooler else _SESSION_ARGS),
        },
    )
    engine._connection_cls = _PooledConnection if has_pooler else PreparedConnection
    return engine


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,  # see `Connections`
        hide_parameters=True,  # an error's text ends in logs, a host's among them
        connect_args={"check_same_thread": False},
    )
    engine._connection_cls = _SqliteConnection

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver must not begin by itself
        cursor = connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute("PRAGMA " + pragma)
        cursor.close()

    return engine


class _PooledConnection(PreparedConnection):
    """Says to each transaction what is otherwise said once, when a connection opens."""

    def _make_wire(self) -> None:
        """Go psycopg's way: what is prepared is a connection's, and the next may be another."""

    def _begin_impl(self, transaction: RootTransaction) -> None:
        super()._begin_impl(transaction)
        if self.is_at_work:
            return
        cursor = self.connection.cursor()
        try:
            cursor.execute(_POOLED_BEGIN)
        except Exception as error:  # noqa: BLE001 - translated by SQLAlchemy, like any statement's
            self._handle_dbapi_exception(error, _POOLED_BEGIN, None, cursor, None)


class _SqliteConnection(PreparedConnection):
    """Begins reads deferred, and writes with the write lock at their start.

    SQLAlchemy's event for this would cost every statement a look at who listens.
    """

    def _begin_impl(self, transaction: RootTransaction) -> None:
        super()._begin_impl(transaction)
        if self.is_at_work:
            return
        is_writing = self.get_execution_options().get(_WRITES, False)
        begin = "BEGIN IMMEDIATE" if is_writing else "BEGIN"
        cursor = self.connection.cursor()
        try:
            cursor.execute(begin)
        except sqlite3.Error as error:
            self._handle_dbapi_exception(error, begin, None, cursor, None)
