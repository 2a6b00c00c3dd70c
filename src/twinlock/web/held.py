"""Which SQLite connections the code that calls us holds, so that we never wait for ourselves.

A host may keep its tables and ours in one SQLite file. A route of the host's that has written
to it, and then awaits one of our flows before it commits, would wait for its own lock until the
database counts as silent. SQLAlchemy's pools tell who took which connection.
"""

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.pool import Pool

from twinlock.core.errors import UncommittedWritesError
from twinlock.db.engine import Database

_DRIVERS: Final = ("sqlite3", "aiosqlite")
_KEY: Final = "twinlock_file"


@dataclass(frozen=True, slots=True)
class _Holding:
    driver_connection: Any
    file: str
    thread: int
    task: object


class Holdings:
    """What every pool of the process has given out, with the thread and task that took it."""

    def __init__(self) -> None:
        self._taken: dict[int, _Holding] = {}
        self._lock = threading.Lock()
        self._is_listening = False

    def listen(self) -> None:
        """Begin to note what is taken and given back; repeated calls do nothing more."""
        with self._lock:
            if self._is_listening:
                return
            event.listen(Pool, "checkout", self._note)
            event.listen(Pool, "checkin", self._forget)
            self._is_listening = True

    def is_writing(self, file: str) -> bool:
        """Tell whether this thread or task is inside a transaction on *file*."""
        if not self._taken:
            return False
        thread, task = threading.get_ident(), _task()
        return any(
            one.file == file
            and (one.task is task if task is not None else one.thread == thread)
            and one.driver_connection.in_transaction
            for one in list(self._taken.values())
        )

    def _note(self, dbapi_connection: Any, record: Any, proxy: object) -> None:
        driver_connection = record.driver_connection
        if type(driver_connection).__module__.partition(".")[0] not in _DRIVERS:
            return
        if _KEY not in record.info:
            record.info[_KEY] = _file_of(dbapi_connection)
        self._taken[id(record)] = _Holding(
            driver_connection, record.info[_KEY], threading.get_ident(), _task()
        )

    def _forget(self, dbapi_connection: object, record: Any) -> None:
        self._taken.pop(id(record), None)


HOLDINGS: Final = Holdings()
"""Pools are the process's, and so is this; it knows nothing of instances."""


class OwnLock:
    """Refuses what would wait for a lock that its caller holds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file = str(Path(database.url.database or "").resolve())
        if database.is_sqlite:
            HOLDINGS.listen()

    def check(self) -> None:
        """Let pass whoever holds nothing.

        Raises:
            UncommittedWritesError: The caller holds uncommitted writes on our SQLite file.
        """
        if HOLDINGS.is_writing(self._file) and self._database.is_held():
            raise UncommittedWritesError(
                "commit the session first: SQLite has one writer, and this call writes"
            )


def _task() -> object:
    with contextlib.suppress(RuntimeError):
        return asyncio.current_task()
    return None


def _file_of(dbapi_connection: Any) -> str:
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute("PRAGMA database_list")
        files = [row[2] for row in cursor.fetchall() if row[1] == "main"]
    finally:
        cursor.close()
    return str(Path(files[0]).resolve()) if files and files[0] else ""
