"""The thread hop: synchronous flows run here, one hop a step, never in the event loop."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from twinlock.accounts.directory import ASKED
from twinlock.core.errors import DatabaseUnavailableError, DirectoryError, StaleEntryError
from twinlock.db.connections import SILENCE_SECONDS
from twinlock.web.held import OwnLock

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_SECONDS: Final = SILENCE_SECONDS + 1
"""A second more than the database is waited for, so that its own error comes first."""


_RENEWALS: Final = 2
"""How often a step is begun again because the host's directory had to be asked first."""


class Workers:
    """The threads that talk to the database."""

    own_lock: OwnLock | None = None
    """Refuses who would wait for a lock of its own; None where nobody else is in the database."""

    renew: Callable[[str], Awaitable[None]] | None = None
    """Asks the host's directory for an account again; None where accounts are ours."""

    def __init__(self, threads: int) -> None:
        """Prepare *threads* threads, as many as there are connections; none starts yet."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="twinlock-db")

    async def run(self, flow: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step of a flow and return what it returns.

        A step that needs to know more of a host's account than was told leaves nothing behind
        and is begun again when the directory has answered.

        Raises:
            DatabaseUnavailableError: No answer in time. The step itself goes on to its end,
                and decides nothing for anybody any more.
            DirectoryError: The host's directory did not answer, or never twice the same.
            UncommittedWritesError: The caller holds the SQLite file.
        """
        if self.own_lock is not None:
            self.own_lock.check()
        asked: frozenset[str] = frozenset()
        for _ in range(_RENEWALS):
            try:
                return await self._run(_having(asked, flow), *args, **kwargs)
            except StaleEntryError as stale:
                if self.renew is None:
                    raise
                await self.renew(stale.host_id)
                asked |= {stale.host_id}
        try:
            return await self._run(_having(asked, flow), *args, **kwargs)
        except StaleEntryError as stale:
            raise DirectoryError("the host's directory does not tell twice the same") from stale

    async def _run(self, flow: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        work = functools.partial(flow, *args, **kwargs)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await loop.run_in_executor(self._executor, work)
        except TimeoutError as error:
            raise DatabaseUnavailableError("the database is silent") from error

    def close(self) -> None:
        """End the threads when their work has ended."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _having(asked: frozenset[str], flow: Callable[P, T]) -> Callable[P, T]:
    """Return a step that knows for which accounts the host's directory has just been asked."""
    if not asked:
        return flow

    def step(*args: P.args, **kwargs: P.kwargs) -> T:
        before = ASKED.set(asked)
        try:
            return flow(*args, **kwargs)
        finally:
            ASKED.reset(before)

    return step
