"""P2: how soon a revocation is seen, and what watching for it costs."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks import installation, load
from benchmarks.load import Connection
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from benchmarks.signing_in import at_token

_PER_SECOND = 10
_READERS = 8
_APP = "benchmarks.apps.counted:app"
_PATIENCE = 5.0


@dataclass(slots=True)
class Count:
    """What was read, and what was still answered after its session had ended."""

    reads: int = 0
    stale: int = 0


async def measure(*, reads: int, kills: int, first_sights: int) -> list[Result]:
    """Revoke on one worker, read on two; kill one between commit and mark."""
    where = installation.create(SCRATCH / "p2", accounts=400, profile=installation.TOY)
    results = []
    async with AsyncExitStack() as stack:
        start = _starter(stack, where)
        workers = [start("one"), start("two")]
        tokens = await _tokens(workers[0], where, 60 + reads // 400)
        for worker in workers:  # what is seen for the first time is measured further down
            await _each_once(worker, [load.get("/me", token=token) for token in tokens])
        before = [await _asked(worker) for worker in workers]
        count, ended = await _read_while_revoking(workers, tokens, reads)
        asked = sum([await _asked(worker) for worker in workers]) - sum(before)
        results += [
            Result(
                "P2", f"stale answers of {count.reads:,} reads", count.stale, unit="", at_most=0
            ),
            Result("P2", "sessions that ended meanwhile", ended, unit=""),
            Result(
                "P2",
                f"guarded reads that asked the database, at {_PER_SECOND} revocations/s",
                asked / count.reads * 100,
                unit="%",
                at_most=1.0,
            ),
        ]
        results += await _first_sight(stack, start, where, first_sights)
    waits = [await _killed(where, number) for number in range(kills)]
    slowest = max(waits)
    results.append(
        Result(
            "P2",
            f"seen after a worker was killed before its mark, slowest of {kills}",
            slowest,
            (min(waits), slowest),
            "s",
            at_most=1.0,
        )
    )
    return results


def _starter(stack: AsyncExitStack, where: installation.Installation) -> Callable[..., Server]:
    def start(name: str, **more: str) -> Server:
        environment = {**where.environment, **more}
        return stack.enter_context(serve(_APP, name=f"p2-{name}", environment=environment))

    return start


async def _tokens(server: Server, where: installation.Installation, count: int) -> list[str]:
    async with load.connections(server, 1) as (connection,):
        return [await at_token(connection, where.people) for _ in range(count)]


async def _asked(server: Server) -> int:
    async with load.connections(server, 1) as (connection,):
        number: int = (await connection.request(load.get("/reads"))).json()
        return number


async def _read_while_revoking(
    workers: list[Server], tokens: list[str], reads: int
) -> tuple[Count, int]:
    """Read with every token on both workers; whatever is answered 200 too late is stale.

    Late is a read that began after the answer to the revocation had arrived.
    """
    count = Count()
    ended: dict[str, float] = {}
    requests = [(token, load.get("/me", token=token)) for token in tokens]

    async def read(connection: Connection, order: Iterator[tuple[str, bytes]]) -> None:
        for token, request in order:
            if count.reads >= reads:
                return
            begun = time.monotonic()
            reply = await connection.request(request)
            count.reads += 1
            if reply.status == 200 and token in ended and ended[token] < begun:
                count.stale += 1

    async def revoke(connection: Connection) -> None:
        for token in tokens[:-_READERS]:
            if count.reads >= reads:
                return
            reply = await connection.request(load.post_json("/api/logout", {}, token=token))
            assert reply.status == 204, reply
            ended[token] = time.monotonic()
            await asyncio.sleep(1 / _PER_SECOND)  # the rate of revocations that is measured

    async with AsyncExitStack() as stack:
        jobs: list[Awaitable[None]] = []
        for server in workers:
            opened = await stack.enter_async_context(load.connections(server, _READERS))
            for place, connection in enumerate(opened):
                shifted = requests[place * 7 % len(requests) :] + requests
                jobs.append(read(connection, itertools.cycle(shifted)))
        (revoker,) = await stack.enter_async_context(load.connections(workers[0], 1))
        await asyncio.gather(revoke(revoker), *jobs)
    return count, len(ended)


async def _first_sight(
    stack: AsyncExitStack,
    start: Callable[..., Server],
    where: installation.Installation,
    count: int,
) -> list[Result]:
    """Compare reads of sessions that a worker has never seen with bare requests."""
    bare = stack.enter_context(serve("benchmarks.apps.bare:app", name="p2-bare"))
    least = stack.enter_context(serve("benchmarks.apps.seeing:app", name="p2-least"))
    elsewhere, fresh = start("elsewhere"), start("fresh")
    tokens = await _tokens(elsewhere, where, count)
    rates: list[tuple[float, float, float]] = []
    for part in range(4):
        these = tokens[part * count // 4 : (part + 1) * count // 4]
        ours = await _each_once(fresh, [load.get("/me", token=token) for token in these])
        theirs = await _each_once(bare, [load.get("/me")] * len(these))
        floor = await _each_once(least, [load.get("/me")] * len(these))
        rates.append((ours, theirs, floor))
    bares = [theirs for _, theirs, _ in rates]
    what = "requests/s, one ES256 signature and one read of SQLite, of bare: the floor of the next"
    return [
        compared("P2", what, [floor for _, _, floor in rates], bares),
        compared(
            "P2",
            "requests/s, first sight of a session, of bare",
            [ours for ours, _, _ in rates],
            bares,
            at_least=0.70,
        ),
    ]


async def _each_once(server: Server, requests: list[bytes]) -> float:
    async def send(connection: Connection, request: bytes) -> None:
        reply = await connection.request(request)
        assert reply.status == 200, reply

    def jobs() -> Iterator[Callable[[Connection], Awaitable[None]]]:
        for request in requests:
            yield lambda connection, request=request: send(connection, request)  # type: ignore[misc]

    async with load.connections(server) as opened:
        return (await load.run_each(server, opened, jobs())).per_second


async def _killed(where: installation.Installation, number: int) -> float:
    """Return how long a token counts on another worker after the first one was killed."""
    async with AsyncExitStack() as stack:
        start = _starter(stack, where)
        survivor = start(f"survivor-{number}")
        (token,) = await _tokens(survivor, where, 1)
        dying = start(f"dying-{number}", BENCH_DIES="1")
        (read,) = await stack.enter_async_context(load.connections(survivor, 1))
        (out,) = await stack.enter_async_context(load.connections(dying, 1))
        request = load.get("/me", token=token)
        assert (await read.request(request)).status == 200
        begun = time.monotonic()
        try:
            await out.request(load.post_json("/api/logout", {}, token=token))
            raise AssertionError("the worker was not killed")
        except ConnectionError:
            pass
        while (await read.request(request)).status == 200:
            assert time.monotonic() - begun < _PATIENCE, "the revocation is never seen"
            await asyncio.sleep(0.01)  # between two reads
        return time.monotonic() - begun
