"""The connection to the database, and the only place where a transaction begins and ends."""

import contextlib
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from twinlock.core.errors import ConfigurationError, DatabaseUnavailableError
from twinlock.db.prepared import PreparedConnection

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("twinlock.db")

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], T]

SILENCE_SECONDS: Final = 5
"""How long a silent database is waited for."""
_REPEATS: Final = 2
_REPEATABLE_SQLSTATES: Final = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock (PostgreSQL appendix A)."""
_WRITES: Final = "twinlock_writes"
_NOTES: Final = "twinlock_notes"
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

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Prepare an engine for *url*; connects at the first use.

        Args:
            url: ``sqlite:///path`` or ``postgresql://…`` (psycopg 3).
            pool_size: Connections kept open, one per thread that works at once.

        Raises:
            ConfigurationError: Neither SQLite nor PostgreSQL, or SQLite in memory.
        """
        self.url = _checked(url)
        self._writer_queue = _WriterQueue(self.url)
        self.committed: Callable[[Sequence[object]], None] = _nobody_listens
        """Gets what transactions noted, each after its commit, on the thread of its flow."""
        self.engine = _engine(self.url, pool_size=pool_size)

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database of one machine."""
        return self.engine.dialect.name == "sqlite"

    def transaction(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, …)``, commit, and return what it returned.

        A serialization failure, a deadlock, a locked SQLite file or a connection that was
        dead from the start repeats the whole of it, at most twice.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        for _ in range(_REPEATS):
            with contextlib.suppress(_RepeatableError):
                return self._run_writing(work, *args, **kwargs)
        return self.transaction_once(work, *args, **kwargs)

    def transaction_once(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(tx, …)`` and commit, never repeating it: for what counts.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        try:
            return self._run_writing(work, *args, **kwargs)
        except _RepeatableError as error:
            raise DatabaseUnavailableError(str(error)) from error

    def reading(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work(connection, …)`` on one consistent view and return what it returned.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        for is_last in (False, True):
            try:
                with _translated(), self.engine.connect() as connection:
                    return work(connection, *args, **kwargs)
            except _RepeatableError as error:
                if is_last:
                    raise DatabaseUnavailableError(str(error)) from error
        raise AssertionError("unreachable")  # pragma: no cover

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
        self.engine.dispose()
        self._writer_queue.close()

    def _set_foreign_keys(self, connection: Connection, pragma: str) -> None:
        """Tell SQLite outside of any transaction, where alone it listens."""
        driver_connection = connection.connection.driver_connection
        if self.is_sqlite and driver_connection is not None:
            driver_connection.execute(pragma)

    def _run_writing(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._writer_queue, _translated(), self.engine.connect() as plain:
            notes: list[object] = []
            tx = plain.execution_options(**{_WRITES: True, _NOTES: notes})
            with tx.begin():
                done = work(tx, *args, **kwargs)
        if notes:
            self.committed(notes)
        return done


def note(tx: Connection, happened: object) -> None:
    """Have *happened* told after the commit of a transaction, and never without it."""
    notes = tx.get_execution_options().get(_NOTES)
    if notes is not None:
        notes.append(happened)


def _nobody_listens(notes: Sequence[object]) -> None:
    """Hear what is told before anybody asked for it."""


class _RepeatableError(Exception):
    """The transaction left nothing behind and may be tried again."""


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what drivers raise into our two outcomes: try again, or unavailable."""
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError("no free connection to the database") from error
    except DBAPIError as error:
        if _is_repeatable(error):
            raise _RepeatableError(type(error.orig).__name__) from error
        if _is_our_fault(error):
            raise
        log.error("database_failed", extra={"error": type(error.orig).__name__})
        raise DatabaseUnavailableError(type(error.orig).__name__) from error


def _is_repeatable(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _REPEATABLE_SQLSTATES
    return error.connection_invalidated or "database is locked" in str(error.orig)


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


def _engine(url: URL, *, pool_size: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, pool_size=pool_size)
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=SILENCE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,  # an error's text ends in logs, a host's among them
        connect_args={
            "connect_timeout": SILENCE_SECONDS,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
            "options": f"-c statement_timeout={SILENCE_SECONDS}s -c timezone=UTC",
        },
    )
    engine._connection_cls = PreparedConnection
    return engine


def _sqlite_engine(url: URL, *, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=SILENCE_SECONDS,
        pool_use_lifo=True,
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


class _SqliteConnection(PreparedConnection):
    """Begins reads deferred, and writes with the write lock at their start.

    SQLAlchemy's event for this would cost every statement a look at who listens.
    """

    def _begin_impl(self, transaction: RootTransaction) -> None:
        super()._begin_impl(transaction)
        is_writing = self.get_execution_options().get(_WRITES, False)
        begin = "BEGIN IMMEDIATE" if is_writing else "BEGIN"
        cursor = self.connection.cursor()
        try:
            cursor.execute(begin)
        except sqlite3.Error as error:
            self._handle_dbapi_exception(error, begin, None, cursor, None)


class _WriterQueue:
    """Lets one writer at a time reach an SQLite file; nothing at all on PostgreSQL.

    Threads queue on a lock, processes on ``flock`` of a file beside the database.
    """

    def __init__(self, url: URL) -> None:
        is_sqlite = url.get_backend_name() == "sqlite"
        self._lock = threading.Lock() if is_sqlite else None
        self._path = Path(f"{url.database}-writer") if is_sqlite else None
        self._file: int | None = None
        self._pid = 0

    def __enter__(self) -> None:
        if self._lock is None:
            return
        if not self._lock.acquire(timeout=SILENCE_SECONDS):
            raise DatabaseUnavailableError("the writers' queue does not move")
        try:
            self._lock_file()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *exc_info: object) -> None:
        if self._lock is None:
            return
        if self._file is not None and sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()

    def _lock_file(self) -> None:
        if self._path is None or sys.platform == "win32":
            return  # there, one process at a time may serve an SQLite file
        if self._file is None or self._pid != os.getpid():
            # A file opened before a fork would share its lock with the parent.
            self._pid = os.getpid()
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                if os.geteuid() == 0:  # what root does here is done for the folder's owner
                    os.fchown(self._file, self._path.parent.stat().st_uid, -1)
            except OSError as error:
                raise DatabaseUnavailableError(f"cannot open {self._path}") from error
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
