"""One commit for what several threads write at the same time: SQLite only.

A commit waits for the disk, whether it writes one page or ten. Whoever comes while another
thread writes leaves its work, and that thread does it behind its own, in the same transaction.
Nobody hears of its work before the commit, and work that fails undoes itself alone: each stands
behind a savepoint of its own.

    waits ──┬─ another thread did it ── that thread's commit ── told
            └─ leads: does its own, then whatever waits, commits, and lets the next one lead
"""

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.db.prepared import PreparedConnection

_MOST: Final = 16
"""Works in one commit: the first of them waits for the last."""
_STUCK: Final = "the writers' queue does not move"

Work = Callable[[PreparedConnection], Any]


class _Turn:
    """One thread's work, from its arrival until it is told how it ended."""

    __slots__ = ("context", "done", "error", "is_leader", "moved", "notes", "work")

    def __init__(self, work: Work, notes: list[object]) -> None:
        self.work = work
        self.notes = notes
        self.context = contextvars.copy_context()
        self.moved = threading.Lock()
        self.moved.acquire()
        self.is_leader = False
        self.done: Any = None
        self.error: BaseException | None = None

    def take(self, connection: PreparedConnection) -> None:
        connection.notes = self.notes
        self.done = self.context.run(self.work, connection)


class SharedCommit:
    """Lets one thread at a time write for all that wait."""

    def __init__(
        self, transact: Callable[[Callable[[PreparedConnection], None]], None], *, patience: float
    ) -> None:
        """Prepare.

        Args:
            transact: Calls what it is given inside one transaction, and commits.
            patience: Seconds that a thread waits until its work is begun.
        """
        self._transact = transact
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._is_led = False
        self._pid = os.getpid()

    def run(self, work: Work, notes: list[object]) -> Any:
        """Do *work* in a transaction, and return what it returned when that is committed.

        Raises:
            DatabaseUnavailableError: Its turn did not come in time.
        """
        turn = _Turn(work, notes)
        if self._pid != os.getpid():  # forked while another thread led: it did not come along
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._waiting, self._is_led = deque(), False
        with self._lock:
            self._waiting.append(turn)
            if not self._is_led:
                self._is_led = turn.is_leader = True
        if not turn.is_leader:
            self._await(turn)
        if turn.is_leader:
            self._lead(turn)
        if turn.error is None:
            return turn.done
        try:
            raise turn.error
        finally:
            del turn  # or the error would keep itself alive through this frame

    def _await(self, turn: _Turn) -> None:
        try:
            if turn.moved.acquire(timeout=self._patience):
                return
            with self._lock:
                if turn in self._waiting and not turn.is_leader:
                    self._waiting.remove(turn)
                    raise DatabaseUnavailableError(_STUCK)
            turn.moved.acquire()  # begun: what it does is decided by now, or it leads
        except BaseException:
            self._withdraw(turn)
            raise

    def _withdraw(self, turn: _Turn) -> None:
        """Let no one wait for a thread that was interrupted, as the main one is by Ctrl-C."""
        with self._lock:
            is_waiting = turn in self._waiting
            if is_waiting and not turn.is_leader:
                self._waiting.remove(turn)
        if is_waiting and turn.is_leader:
            self._hand_over(turn, [])

    def _lead(self, turn: _Turn) -> None:
        taken: list[_Turn] = []
        try:
            self._transact(lambda connection: self._take_turns(connection, taken))
        except BaseException as error:  # noqa: BLE001 - raised on the thread whose work it was
            for one in taken or [turn]:
                one.error = one.error or error
        finally:
            self._hand_over(turn, taken)

    def _take_turns(self, connection: PreparedConnection, taken: list[_Turn]) -> None:
        while len(taken) < _MOST:
            with self._lock:
                if not self._waiting:
                    return
                taken.append(self._waiting.popleft())
            if len(taken) == 1:
                taken[0].take(connection)  # alone by now: what it raises undoes the whole
            else:
                self._take_behind(connection, taken[-1])

    def _take_behind(self, connection: PreparedConnection, turn: _Turn) -> None:
        """Do one work behind others, whatever it raises."""
        connection.begin_turn()
        try:
            turn.take(connection)
        except BaseException as error:  # noqa: BLE001 - raised on the thread whose work it was
            turn.error = error
        if not connection.end_turn(is_kept=turn.error is None):
            # SQLite rolls back by itself where the disk is full or fails: with all before it.
            raise DatabaseUnavailableError("SQLite undid the transaction") from turn.error

    def _hand_over(self, turn: _Turn, taken: list[_Turn]) -> None:
        with self._lock:
            if not taken:
                self._waiting.remove(turn)
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].is_leader = True
                self._waiting[0].moved.release()
        for one in taken:
            if one is not turn:
                one.moved.release()
