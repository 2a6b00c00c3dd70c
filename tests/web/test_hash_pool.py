"""The threads that hash: few, polite, bounded, and gone when they are closed."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from twinlock.accounts.passwords import FAST_PROFILE, hash_password, is_password
from twinlock.web.hash_pool import HashPool, HashQueueFullError

pytestmark = pytest.mark.anyio


@pytest.fixture
def make_pool() -> Iterator[Callable[..., HashPool]]:
    pools: list[HashPool] = []

    def make(threads: int, **sizes: int) -> HashPool:
        pools.append(HashPool(threads, **sizes))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


class Work:
    """A hash that takes until it is told to end, and says when it began."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.end = threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.end.wait(30)
        return threading.current_thread().name

    async def wait_for_begin(self) -> None:
        assert await asyncio.to_thread(self.began.wait, 30)


@asynccontextmanager
async def running(pool: HashPool, count: int) -> AsyncIterator[list[Work]]:
    """Keep *count* threads of *pool* busy."""
    works = [Work() for _ in range(count)]
    tasks = [asyncio.create_task(pool.run(work)) for work in works]
    try:
        for work in works:
            await work.wait_for_begin()
        yield works
    finally:
        for work in works:
            work.end.set()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settle() -> None:
    """Let every task that can go on do so."""
    loop = asyncio.get_running_loop()
    for _ in range(3):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


async def test_a_hash_returns_what_it_computed(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(2)

    stored = await pool.run(hash_password, "secret", profile=FAST_PROFILE)

    assert await pool.run(is_password, stored, "secret")
    assert await pool.run(int, "ff", base=16) == 255


async def test_what_a_hash_raises_is_raised(make_pool: Callable[..., HashPool]) -> None:
    with pytest.raises(ZeroDivisionError):
        await make_pool(1).run(divmod, 1, 0)


async def test_no_more_hashes_run_than_there_are_threads(
    make_pool: Callable[..., HashPool],
) -> None:
    pool = make_pool(2)

    async with running(pool, 2) as works:
        third = Work()
        waiting = asyncio.create_task(pool.run(third))
        await settle()
        assert not third.began.is_set()

        works[0].end.set()
        await third.wait_for_begin()

        third.end.set()
        await waiting


async def test_a_hash_runs_in_no_thread_of_the_requests(
    make_pool: Callable[..., HashPool],
) -> None:
    name = await make_pool(1).run(lambda: threading.current_thread().name)

    assert name.startswith("twinlock-hash")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities for threads")
async def test_the_threads_yield_to_those_that_answer_requests(
    make_pool: Callable[..., HashPool],
) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = niceness()

    assert await make_pool(1).run(niceness) == min(19, mine + 10)
    assert niceness() == mine


@pytest.mark.parametrize("threads, waiting", [(1, 0), (1, 3), (2, 2)])
async def test_the_queue_has_a_bound(
    make_pool: Callable[..., HashPool], threads: int, waiting: int
) -> None:
    pool = make_pool(threads, waiting_per_thread=waiting)

    async with running(pool, threads):
        admitted = [asyncio.create_task(pool.run(int)) for _ in range(threads * waiting)]
        await settle()

        with pytest.raises(HashQueueFullError) as refused:
            await pool.run(int)

    assert refused.value.retry_after.total_seconds() > 0
    assert await asyncio.gather(*admitted) == [0] * (threads * waiting)
    assert await pool.run(int) == 0


async def test_32_wait_for_each_thread_by_default(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1)

    async with running(pool, 1):
        outcomes = asyncio.gather(*(pool.run(int) for _ in range(33)), return_exceptions=True)
        await settle()

    kinds = [type(outcome) for outcome in await outcomes]
    assert (kinds.count(int), kinds.count(HashQueueFullError)) == (32, 1)


async def test_who_gives_up_waiting_frees_the_place(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1, waiting_per_thread=1)

    async with running(pool, 1):
        given_up = Work()
        impatient = asyncio.create_task(pool.run(given_up))
        await settle()
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient

        next_one = asyncio.create_task(pool.run(int))
        await settle()
        with pytest.raises(HashQueueFullError):
            await pool.run(int)

    assert await next_one == 0
    assert not given_up.began.is_set()


async def test_who_gives_up_a_running_hash_keeps_the_place_until_it_ends(
    make_pool: Callable[..., HashPool],
) -> None:
    pool = make_pool(1, waiting_per_thread=0)
    work = Work()
    impatient = asyncio.create_task(pool.run(work))
    await work.wait_for_begin()

    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    with pytest.raises(HashQueueFullError):
        await pool.run(int)

    work.end.set()
    await asyncio.to_thread(pool.close)
    assert await pool.run(int) == 0


async def test_a_hash_that_fails_gives_its_place_back(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1, waiting_per_thread=0)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await pool.run(divmod, 1, 0)


async def test_the_loop_goes_on_while_a_hash_runs(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1)
    work = Work()
    task = asyncio.create_task(pool.run(work))

    await asyncio.to_thread(work.began.wait, 30)
    work.end.set()  # only a loop that goes on comes here

    assert (await task).startswith("twinlock-hash")


async def test_closing_ends_the_threads_and_loses_nothing(
    make_pool: Callable[..., HashPool],
) -> None:
    others = threading.enumerate()  # of installations that other tests keep running
    pool = make_pool(2)
    works = [Work() for _ in range(4)]
    tasks = [asyncio.create_task(pool.run(work)) for work in works]
    await works[0].wait_for_begin()
    begun = (thread for thread in threading.enumerate() if thread not in others)
    started = [thread for thread in begun if "twinlock-hash" in thread.name]
    for work in works:
        work.end.set()

    await asyncio.to_thread(pool.close)

    assert len(started) == 2
    assert not any(thread.is_alive() for thread in started)
    assert len(await asyncio.gather(*tasks)) == 4


async def test_closing_waits_for_what_runs(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1)
    ended_before_close: list[bool] = []

    async with running(pool, 1) as (work,):

        def close() -> None:
            pool.close()
            ended_before_close.append(work.end.is_set())

        closing = threading.Thread(target=close)
        closing.start()
        for _ in range(10):
            await asyncio.to_thread(int)  # a close that does not wait would be over by now

    await asyncio.to_thread(closing.join)
    assert ended_before_close == [True]


async def test_closing_twice_or_unused_does_nothing(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1)

    pool.close()
    pool.close()

    assert await pool.run(int) == 0


def test_a_pool_starts_no_thread_before_the_first_hash(make_pool: Callable[..., HashPool]) -> None:
    before = threading.active_count()

    make_pool(2)

    assert threading.active_count() == before


def test_several_loops_share_one_pool(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(2, waiting_per_thread=200)

    async def some(count: int) -> list[int]:
        return await asyncio.gather(*(pool.run(abs, -n) for n in range(count)))

    with ThreadPoolExecutor(4) as loops:
        results = list(loops.map(lambda _: asyncio.run(some(50)), range(8)))

    assert results == [list(range(50))] * 8
    assert asyncio.run(some(50)) == list(range(50))


def test_no_place_is_lost_among_many_threads(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(2, waiting_per_thread=1)

    async def storm() -> None:
        await asyncio.gather(*(pool.run(int) for _ in range(200)), return_exceptions=True)

    with ThreadPoolExecutor(4) as loops:
        list(loops.map(lambda _: asyncio.run(storm()), range(8)))

    async def all_places() -> list[int]:
        return await asyncio.gather(*(pool.run(int) for _ in range(pool.places)))

    assert asyncio.run(all_places()) == [0] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1, waiting_per_thread=0)
    asyncio.run(pool.run(int))

    child = os.fork()
    if child == 0:
        answer = 1
        try:
            answer = asyncio.run(asyncio.wait_for(pool.run(int, "42"), 30))
        finally:
            os._exit(answer)

    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 42
    assert asyncio.run(pool.run(int, "7")) == 7


@pytest.mark.parametrize("threads, waiting", [(0, 1), (-1, 1), (1, -1)])
def test_a_pool_has_a_thread_and_no_negative_places(threads: int, waiting: int) -> None:
    with pytest.raises(ValueError, match="a pool needs a thread"):
        HashPool(threads, waiting_per_thread=waiting)


async def test_a_place_is_kept_for_what_is_counted_first(
    make_pool: Callable[..., HashPool],
) -> None:
    pool = make_pool(1, waiting_per_thread=0)

    with pool.place() as place:
        with pytest.raises(HashQueueFullError):
            pool.place()
        assert await place.run(int) == 0

    assert await pool.run(int) == 0


def test_a_place_that_was_not_used_is_free_again(make_pool: Callable[..., HashPool]) -> None:
    pool = make_pool(1, waiting_per_thread=0)

    for _ in range(3):
        with pool.place():
            pass
