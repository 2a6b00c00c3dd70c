"""The thread hop: synchronous flows run here, one hop a step, never in the event loop."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from twinlock.core.errors import DatabaseUnavailableError
from twinlock.db.engine import SILENCE_SECONDS

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_SECONDS: Final = SILENCE_SECONDS + 1
"""A second more than the database is waited for, so that its own error comes first."""


class Workers:
    """The threads that talk to the database."""

    def __init__(self, threads: int) -> None:
        """Prepare *threads* threads, as many as there are connections; none starts yet."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="twinlock-db")

    async def run(self, flow: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one step of a flow and return what it returns.

        Raises:
            DatabaseUnavailableError: No answer in time. The step itself goes on to its end,
                and decides nothing for anybody any more.
        """
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
