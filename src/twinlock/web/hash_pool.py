"""The few threads that hash passwords, and the counter in front of them.

A hash takes a whole core for tens of milliseconds. It runs in none of the threads that answer
requests, at lower priority than they do, and only so many wait for one: who comes after them is
told to come back (503), instead of everyone waiting for minutes.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, ParamSpec, Self, TypeVar

from twinlock.core.errors import TwinlockError

P = ParamSpec("P")
T = TypeVar("T")

WAITING_PER_THREAD: Final = 32
_ALL_TAKEN: Final = "every place in the queue for password hashes is taken"
_NICENESS: Final = 10  # steps of politeness (nice) below the threads that answer requests


class HashQueueFullError(TwinlockError):
    """So many password steps wait that another would wait too long; the route answers 503."""

    retry_after: Final = timedelta(seconds=2)


class HashPool:
    """Runs password hashes on threads of its own, a bounded number at a time.

    The threads start with the first hash, not before: a pool may be made at import and taken
    through a fork. Any number of event loops may use it at once. ``close`` ends the threads; the
    next hash would start new ones.
    """

    def __init__(self, threads: int, *, waiting_per_thread: int = WAITING_PER_THREAD) -> None:
        """Take note of the size.

        Args:
            threads: How many hashes run at a time, 1 or more; never more than cores.
            waiting_per_thread: How many more are admitted for each thread, 0 or more.
        """
        if threads < 1 or waiting_per_thread < 0:
            raise ValueError("a pool needs a thread, and no negative number of places")
        self.threads = threads
        self.places = threads * (1 + waiting_per_thread)
        self._crew = _Crew(self.places)

    @property
    def taken(self) -> int:
        """How many hashes run or wait in this process."""
        return self._crew.taken

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *work* on one of the threads, and return or raise what it does.

        If the caller is cancelled while it waits, its place is free at once; if *work* runs
        already it runs to its end, and its place is taken until then.

        Raises:
            HashQueueFullError: Every place is taken.
        """
        with self.place() as place:
            return await place.run(work, *args, **kwargs)

    def place(self) -> "Place":
        """Take a place for a hash that something has to be counted for first.

        Use it as a context: what was not used by its end is free again.

        Raises:
            HashQueueFullError: Every place is taken.
        """
        if self._crew.pid != os.getpid():
            self._crew = _Crew(self.places)  # forked: the threads stayed with the parent
        if not self._crew.enter():
            raise HashQueueFullError(_ALL_TAKEN)
        return Place(self._crew, self.threads)

    def require_place(self) -> None:
        """Find out, before anything is read, whether somebody could wait for a hash now.

        Raises:
            HashQueueFullError: Every place is taken.
        """
        if self._crew.taken >= self.places and self._crew.pid == os.getpid():
            raise HashQueueFullError(_ALL_TAKEN)

    def close(self) -> None:
        """Return when all that was admitted has ended and the threads are gone.

        A server closes when its requests have ended, so that nothing waits any more.
        """
        crew, self._crew = self._crew, _Crew(self.places)
        crew.dismiss()


class Place:
    """One place in the queue, good for one hash."""

    __slots__ = ("_crew", "_is_free", "_threads")

    def __init__(self, crew: "_Crew", threads: int) -> None:
        self._crew = crew
        self._threads = threads
        self._is_free = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._is_free:
            self._is_free = False
            self._crew.leave()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *work* on one of the threads, and return or raise what it does; see the pool's."""
        if not self._is_free:
            raise RuntimeError("a place is good for one hash")
        future = self._crew.executor(self._threads).submit(work, *args, **kwargs)
        self._is_free = False
        # Called when the work has ended or was cancelled before it began, and never twice.
        future.add_done_callback(lambda _: self._crew.leave())
        return await asyncio.wrap_future(future)


@dataclass(slots=True)
class _Crew:
    """The threads of one process from their start to their end, and the places taken."""

    places: int
    pid: int = field(default_factory=os.getpid)
    taken: int = 0
    _executor: ThreadPoolExecutor | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> bool:
        """Take a place; say whether there was one."""
        with self._lock:
            if self.taken >= self.places:
                return False
            self.taken += 1
            return True

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self.taken -= 1

    def executor(self, threads: int) -> ThreadPoolExecutor:
        """Return the threads; they start one by one as work comes."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    threads, thread_name_prefix="twinlock-hash", initializer=_lower_priority
                )
            return self._executor

    def dismiss(self) -> None:
        """Wait for the threads to end, unless they are those of another process."""
        if self._executor is not None and self.pid == os.getpid():
            self._executor.shutdown(wait=True)


def _lower_priority() -> None:
    """Let the threads that answer requests go first; only Linux has priorities for threads."""
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError):  # a sandbox may forbid it; then all are equal
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
