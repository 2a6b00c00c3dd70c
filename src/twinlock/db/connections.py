"""The connections that stay open from one transaction to the next."""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.db.prepared import PreparedConnection

T = TypeVar("T")

SILENCE_SECONDS: Final = 5
"""How long a silent database is waited for."""


class Connections:
    """As many connections as may be used at once, the last used one first.

    SQLAlchemy's own pools watch each use of each connection, which costs as much as three of
    the statements in it.
    """

    def __init__(self, engine: Engine, *, size: int) -> None:
        """Open no more than *size*, each when it is needed."""
        self._engine = engine
        self._places = threading.Semaphore(size)
        self._idle: list[PreparedConnection] = []
        self._pid = os.getpid()

    def run(
        self,
        words: str | None,
        end: Callable[[PreparedConnection], bool],
        work: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        notes: list[object] | None = None,
    ) -> T:
        """Run ``work(connection, …)`` between a transaction's beginning and its *end*.

        Args:
            words: How the database is told of the beginning; see `PreparedConnection`.
            end: Commits, or undoes; tells whether the connection is as good as new.
            notes: Where the work leaves what is to be told after the commit.

        Raises:
            DatabaseUnavailableError: Every connection is taken, and stays so.
        """
        if not self._places.acquire(timeout=SILENCE_SECONDS):
            raise DatabaseUnavailableError("no free connection to the database")
        try:
            connection = self._next()
            try:
                connection.begin_work(words, [] if notes is None else notes)
                done = work(connection, *args, **kwargs)
                self._leave(connection, is_sound=end(connection))
            except BaseException:
                self._leave(connection, is_sound=connection.undo_work())
                raise
            return done
        finally:
            self._places.release()

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._idle:
            with contextlib.suppress(SQLAlchemyError):
                self._idle.pop().close()

    def _next(self) -> PreparedConnection:
        if self._pid != os.getpid():  # forked: the open ones are the parent's
            self._pid, self._idle = os.getpid(), []
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return cast("PreparedConnection", self._engine.connect())

    def _leave(self, connection: PreparedConnection, *, is_sound: bool) -> None:
        """Keep a connection for the next, or close it and all others, which may be as dead."""
        if is_sound:
            self._idle.append(connection)
            return
        with contextlib.suppress(SQLAlchemyError):
            connection.invalidate()
            connection.close()
        self.close()
