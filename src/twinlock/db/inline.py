"""Reads on the event loop's own thread, which wait for nobody: SQLite only.

A reader of a file in WAL mode waits for no writer, and one row that is found by its index is
read faster than another thread is asked to do it. What could make it wait after all sends it to
a thread: a file that somebody locked as a whole, a connection that is not open, a slow disk.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from twinlock.core import clock
from twinlock.db.prepared import PreparedConnection

T = TypeVar("T")

_PRAGMAS: Final = ("PRAGMA busy_timeout=0", "PRAGMA query_only=ON")
_SLOW_SECONDS: Final = 0.05
_REST_SECONDS: Final = 10.0
"""How long threads read alone after one read took so long as to be felt by other requests."""


class WouldWaitError(Exception):
    """It cannot be read here and now: a thread may."""


class InlineReads:
    """One connection that only reads and never waits, for one read at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: PreparedConnection | None = None
        self._pid = os.getpid()
        self._resting_until = 0.0

    def open(self) -> None:
        """Open the connection if there is none, on a thread that may wait for it.

        Where it cannot be opened, threads go on reading, and tell why if they cannot either.
        """
        if self._is_open():
            return
        with self._lock, contextlib.suppress(SQLAlchemyError, sqlite3.Error):
            if self._is_open():
                return
            connection = cast("PreparedConnection", self._engine.connect())
            driver: Any = connection.connection.driver_connection
            for pragma in _PRAGMAS:
                driver.execute(pragma)
            self._connection, self._pid = connection, os.getpid()  # one of the parent's is left

    def run(self, work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        """Run ``work(connection, …)`` on one consistent view.

        Raises:
            WouldWaitError: Not without waiting.
        """
        connection, begun_at = self._connection, clock.monotonic()
        if connection is None or not self._is_open() or begun_at < self._resting_until:
            raise WouldWaitError
        if not self._lock.acquire(blocking=False):
            raise WouldWaitError
        try:
            connection.begin_work("BEGIN", [])
            return work(connection, *args, **kwargs)
        except DBAPIError as error:
            raise WouldWaitError from error
        finally:
            if not connection.undo_work():
                self._drop(connection)
            ended_at = clock.monotonic()
            if ended_at - begun_at > _SLOW_SECONDS:
                self._resting_until = ended_at + _REST_SECONDS
            self._lock.release()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._drop(self._connection)

    def _is_open(self) -> bool:
        return self._connection is not None and self._pid == os.getpid()

    def _drop(self, connection: PreparedConnection) -> None:
        self._connection = None
        with contextlib.suppress(SQLAlchemyError):
            connection.invalidate()
            connection.close()
