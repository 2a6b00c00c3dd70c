"""The short way to PostgreSQL: statements travel together, prepared, with one answer for all.

psycopg's cursors work out at each execution how values are written and read, and wait for each
answer. Here a statement is sent when something of an answer is wanted, and all that were executed
before travel in the same message (libpq's pipeline mode), the transaction's beginning or its end
among them. Their order stays, and what follows an error is not executed.
"""

import select
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from twinlock.db.wording import FORGOTTEN, Letter, RefusedError, Wording

_BEGIN: Final = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_COMMIT: Final = b"COMMIT"
_ROLLBACK: Final = b"ROLLBACK"
_ANY_OID: Final = 0
_MAX_TOGETHER: Final = 64


class Wire:
    """The way to one PostgreSQL server and back, used by one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._server = connection.pgconn
        self._prepared: set[bytes] = set()
        self._readers: dict[bytes, list[Callable[[Any], Any]]] = {}
        self._letters: list[Letter] = []
        self._was_answered = False
        self.is_torn = False
        """Whether something was sent whose answer nobody has read."""

    @property
    def has_letters(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._letters)

    def begin(self) -> None:
        """Begin a transaction, as far as this side is concerned."""
        self._was_answered = False

    def put(self, letter: Letter) -> None:
        """Have a statement sent with the next exchange."""
        self._letters.append(letter)
        if len(self._letters) >= _MAX_TOGETHER:
            self.exchange()

    def exchange(self) -> None:
        """Send every statement that waits, and read the answers.

        Raises:
            RefusedError: One was refused; those after it were not executed.
        """
        if self._letters:
            self._exchange(None)

    def reach(self) -> None:
        """Have the server answer once in this transaction, before the commit travels.

        One whose connection was dead from the start is then known to have done nothing, and
        may be repeated.

        Raises:
            RefusedError: A statement was refused.
        """
        if not self._was_answered:
            self.exchange()

    def commit(self) -> None:
        """Send what waits, and the commit with it.

        Raises:
            RefusedError: It did not commit.
        """
        if self._letters or self._is_begun():
            self._exchange(_COMMIT)

    def end_reading(self) -> None:
        """Send what waits, and end the transaction that wrote nothing.

        Raises:
            RefusedError: A statement was refused.
        """
        if self._letters or self._is_begun():
            self._exchange(_ROLLBACK)

    def undo(self) -> None:
        """Forget what waits, and roll back.

        Raises:
            RefusedError: The way is torn.
        """
        self._letters.clear()
        if self._is_begun():
            self._exchange(_ROLLBACK)

    def _is_begun(self) -> bool:
        return self._server.transaction_status != TransactionStatus.IDLE

    def _exchange(self, ending: bytes | None) -> None:
        letters, self._letters = self._letters, []
        self.is_torn = True
        try:
            refused = self._talk(letters, ending)
        except psycopg.Error as error:
            raise RefusedError(error, letters[0].wording.text if letters else "") from error
        self.is_torn = False
        self._was_answered = True
        if refused is not None:
            self.is_torn = getattr(refused.cause, "sqlstate", None) in FORGOTTEN
            raise refused

    def _talk(self, letters: list[Letter], ending: bytes | None) -> RefusedError | None:
        server = self._server
        is_begun = self._is_begun()
        server.enter_pipeline_mode()
        answers: list[Letter | bytes | None] = []
        if not is_begun:
            server.send_query_params(_BEGIN, None)
            answers.append(None)
        asked: set[bytes] = set()
        for letter in letters:
            wording = letter.wording
            if wording.key not in self._prepared and wording.key not in asked:
                asked.add(wording.key)
                server.send_prepare(wording.key, wording.sql, wording.oids)
                answers.append(wording.key)
            server.send_query_prepared(
                wording.key, letter.values, wording.formats, result_format=Format.BINARY
            )
            answers.append(letter)
        if ending is not None:
            server.send_query_params(ending, None)
            answers.append(None)
        server.pipeline_sync()
        refused = self._hear(answers)
        server.exit_pipeline_mode()
        return refused

    def _hear(self, expected: list[Letter | bytes | None]) -> RefusedError | None:
        """Read the answers up to the last; return what was refused first."""
        self._send_all()
        refused: RefusedError | None = None
        letter: Letter | None = None
        for one in expected:
            result = self._next_result()
            if isinstance(one, Letter):
                letter = one
            if result.status in (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED):
                if refused is None:
                    error = error_from_result(result)
                    refused = RefusedError(error, letter.wording.text if letter else "")
            elif isinstance(one, bytes):
                self._prepared.add(one)
            elif isinstance(one, Letter):
                one.answered(self._rows(one.wording, result), result.command_tuples or 0)
        while self._next_result().status != ExecStatus.PIPELINE_SYNC:
            pass
        return refused

    def _next_result(self) -> PGresult:
        """Return the next answer, without keeping other threads from their work meanwhile."""
        server = self._server
        while True:
            while server.is_busy():
                _wait(server.socket, is_sending=False)
                server.consume_input()
            result = server.get_result()
            if result is not None:
                return result
            if server.status != ConnStatus.OK:
                raise psycopg.OperationalError("the connection is lost")

    def _send_all(self) -> None:
        server = self._server
        while server.flush():
            _wait(server.socket, is_sending=True)
            server.consume_input()

    def _rows(self, wording: Wording, result: PGresult) -> list[list[Any]]:
        if not result.ntuples:
            return []
        readers = self._readers.get(wording.key)
        if readers is None:
            readers = self._readers[wording.key] = self._readers_of(result)
        value_of = result.get_value
        return [
            [
                None if (value := value_of(row, column)) is None else read(value)
                for column, read in enumerate(readers)
            ]
            for row in range(result.ntuples)
        ]

    def _readers_of(self, result: PGresult) -> list[Callable[[Any], Any]]:
        adapters = self._connection.adapters
        oids = [result.ftype(column) for column in range(result.nfields)]
        loaders = [
            adapters.get_loader(oid, Format.BINARY) or adapters.get_loader(_ANY_OID, Format.BINARY)
            for oid in oids
        ]
        return [
            loader(oid, self._connection).load
            for loader, oid in zip(loaders, oids, strict=True)
            if loader is not None
        ]


if hasattr(select, "poll"):

    def _wait(socket: int, *, is_sending: bool) -> None:
        """Wait until there is something to read, or, when sending, room to write."""
        waiter = select.poll()
        waiter.register(socket, select.POLLIN | (select.POLLOUT if is_sending else 0))
        waiter.poll()

else:  # pragma: no cover - Windows

    def _wait(socket: int, *, is_sending: bool) -> None:
        """Wait until there is something to read, or, when sending, room to write."""
        select.select([socket], [socket] if is_sending else [], [])
