"""The host's word on its accounts: deleted, or changed. With a session, from its commit on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from twinlock.accounts.directory import host_id_of
from twinlock.web.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

_KEY: Final = "twinlock"

Step = Callable[[Runtime], None]


class Taken:
    """A word that was taken: await it where there is an event loop, and ignore it elsewhere."""

    def __init__(self, work: Awaitable[None] | None = None) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until it has taken hold, or until it is sure to, with the session's commit."""
        if self._work is not None:
            yield from self._work.__await__()


class HostWord:
    """Takes the host's word, in threads, tasks and sessions alike."""

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime
        self._begun: set[asyncio.Task[None]] = set()

    def deleted(self, account_id: int | str | UUID, db: "Session | AsyncSession | None") -> Taken:
        """Take that an account is deleted; where it is not after all, look at it again.

        Raises:
            DirectoryError: *account_id* is no id.
            UncommittedWritesError: The caller's connection holds the SQLite file, and no
                session was given.
        """
        host_id = host_id_of(account_id)
        return self._take(_deletion_of(host_id), db, instead=_change_of(host_id))

    def changed(
        self,
        account_id: int | str | UUID,
        db: "Session | AsyncSession | None",
        *,
        is_password: bool,
    ) -> Taken:
        """Take that an account is another one now, or its password.

        Raises:
            DirectoryError: *account_id* is no id.
            UncommittedWritesError: The caller's connection holds the SQLite file, and no
                session was given.
        """
        host_id = host_id_of(account_id)
        change = _change_of(host_id, is_password=is_password)
        return self._take(change, db, instead=_change_of(host_id))

    def _take(self, step: Step, db: "Session | AsyncSession | None", *, instead: Step) -> Taken:
        """Carry out *step* now; with a session in a transaction, when that is committed.

        Args:
            step: What the host says.
            db: The session in which the host does what it says.
            instead: What is done if that transaction ends otherwise.
        """
        session = None if db is None else getattr(db, "sync_session", db)
        if session is None or not session.in_transaction():
            return self._now(step)
        waiting = session.info.get(_KEY)
        if waiting is None:
            from sqlalchemy import event

            waiting = session.info[_KEY] = _Waiting(self)
            event.listen(session, "after_commit", waiting.committed)
            event.listen(session, "after_soft_rollback", waiting.rolled_back)
            event.listen(session, "after_transaction_end", waiting.ended)
        waiting.steps.append((step, instead))
        return Taken()

    def _now(self, step: Step) -> Taken:
        runtime = self._runtime()
        if runtime.workers.own_lock is not None:
            runtime.workers.own_lock.check()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            step(runtime)
            return Taken()
        task = loop.create_task(runtime.workers.run(step, runtime))
        self._begun.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._begun.discard)
        return Taken(task)

    def within_session(self, step: Step) -> None:
        """Carry out a step where a session tells of its end: in its thread, or its greenlet."""
        from sqlalchemy.exc import MissingGreenlet
        from sqlalchemy.util import await_only

        runtime = self._runtime()
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            work = runtime.workers.run(step, runtime)
            try:
                await_only(work)
            except MissingGreenlet:  # a plain session, used in the event loop
                work.close()
            else:
                return
        step(runtime)


def _deletion_of(host_id: str) -> Step:
    return lambda runtime: runtime.host_changes.note(host_id, None, now=runtime.clock())


def _change_of(host_id: str, *, is_password: bool = False) -> Step:
    return lambda runtime: runtime.host_changes.declare_changed(
        host_id, is_password=is_password, now=runtime.clock()
    )


class _Waiting:
    """What waits for the end of a session's transaction."""

    def __init__(self, word: HostWord) -> None:
        self._word = word
        self.steps: list[tuple[Step, Step]] = []

    def committed(self, session: Any) -> None:
        if session.in_nested_transaction():
            return
        self._run(is_committed=True)

    def rolled_back(self, session: Any, previous: object) -> None:
        self._run(is_committed=False)

    def ended(self, session: Any, transaction: Any) -> None:
        if transaction.parent is None:
            self._run(is_committed=False)

    def _run(self, *, is_committed: bool) -> None:
        steps, self.steps = self.steps, []
        for step, instead in steps:
            self._word.within_session(step if is_committed else instead)
