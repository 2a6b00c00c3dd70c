"""P5: what others notice of a login storm."""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack

from benchmarks import installation, load, signing_in
from benchmarks.installation import PASSWORD, Installation
from benchmarks.load import Connection, Reply
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared

_READS_A_SECOND = 100
_WAITING = 1_000


async def measure(*, rounds: int, seconds: float) -> list[Result]:
    """Read a hundred times a second, alone and while everybody signs in."""
    results: list[Result] = []
    for threads, goal in ((1, 1.5), (installation.cores(), 3.5)):
        where = installation.create(SCRATCH / f"p5-{threads}", accounts=1_500)
        environment = where.environment | {
            "TWINLOCK_HASH_THREADS": str(threads),
            "TWINLOCK_TRUSTED_PROXIES": "127.0.0.1",
        }
        async with AsyncExitStack() as stack:
            server = stack.enter_context(
                serve(
                    "twinlock.login_server:create_app",
                    name=f"p5-{threads}",
                    environment=environment,
                    is_factory=True,
                )
            )
            idle, storm = await _in_turns(server, where, rounds=rounds, seconds=seconds)
            what = f"p99 of reads while {threads} threads hash, of idle"
            results.append(compared("P5", what, storm, idle, at_most=goal))
            results.append(
                Result("P5", f"p99 of reads when idle, {threads} hash threads",
                       statistics.median(idle) * 1000, unit="ms")
            )  # fmt: skip
            if threads > 1:
                bare = stack.enter_context(serve("benchmarks.apps.bare:app", name="p5-bare"))
                results += await _thousand(server, bare)
    return results


async def _in_turns(
    server: Server, where: Installation, *, rounds: int, seconds: float
) -> tuple[list[float], list[float]]:
    token = await signing_in.token_of(server, where.people)
    request = load.get("/users/me", token=token)
    idle: list[float] = []
    storm: list[float] = []
    async with load.connections(server, 24) as readers, load.connections(server, 16) as others:
        await p99(readers, request, seconds=1)
        for _ in range(rounds):
            idle.append(await p99(readers, request, seconds=seconds))
            is_over = asyncio.Event()
            storming = [asyncio.create_task(_sign_in_until(is_over, one, where)) for one in others]
            await asyncio.sleep(0.3)  # the storm has filled the hash threads by then
            storm.append(await p99(readers, request, seconds=seconds))
            is_over.set()
            await asyncio.gather(*storming)
    return idle, storm


async def _sign_in_until(
    is_over: asyncio.Event, connection: Connection, where: Installation
) -> None:
    while not is_over.is_set():
        await signing_in.at_token(connection, where.people)


async def p99(readers: list[Connection], request: bytes, *, seconds: float) -> float:
    """Return the 99th percentile of the time from when a read was due to its answer."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for reader in readers:
        free.put_nowait(reader)
    taken: list[float] = []

    async def read(due: float) -> None:
        reader = await free.get()
        reply = await reader.request(request)
        taken.append(time.monotonic() - due)
        free.put_nowait(reader)
        assert reply.status == 200, reply

    begun = time.monotonic()
    tasks = []
    for number in range(int(seconds * _READS_A_SECOND)):
        due = begun + number / _READS_A_SECOND
        await asyncio.sleep(max(0, due - time.monotonic()))  # an open loop keeps its beat
        tasks.append(asyncio.create_task(read(due)))
    await asyncio.gather(*tasks)
    return statistics.quantiles(taken, n=100)[98]


async def _thousand(server: Server, bare: Server) -> list[Result]:
    """Let a thousand wait at once, each from a network of its own; most are told to come back.

    A thousand connections cost any server memory: what bare FastAPI takes for them is taken off.
    """
    plain = [load.get("/me")]
    connections = await _peak(bare, plain * _WAITING) - await _peak(bare, plain * 16)
    usual = await _peak(server, [_stranger(number, 16) for number in range(16)])
    replies: list[Reply] = []
    strangers = [_stranger(number, _WAITING) for number in range(_WAITING)]
    added = await _peak(server, strangers, replies) - usual - connections
    told = [reply for reply in replies if reply.status == 503]
    assert all(reply.header(b"retry-after") for reply in told)
    assert {reply.status for reply in replies} == {401, 503}
    return [
        Result("P5", "memory of 1,000 waiting logins", added, unit="MiB", at_most=15),
        Result("P5", "of them told to come back (503)", len(told), unit="logins"),
    ]


async def _peak(server: Server, requests: list[bytes], replies: list[Reply] | None = None) -> float:
    """Send all requests at once, each on its own connection; return the peak of memory in MiB."""
    async with load.connections(server, len(requests)) as opened:
        server.forget_peak()
        calls = [one.request(request) for one, request in zip(opened, requests, strict=True)]
        found = await asyncio.gather(*calls)
        if replies is not None:
            replies += found
    return server.peak_mib()


def _stranger(number: int, count: int) -> bytes:
    address = f"10.{count % 251}.{number // 250}.{number % 250}"
    body = {"username": f"stranger{count}-{number}", "password": PASSWORD}
    return load.post_json("/api/login", body, headers={"X-Forwarded-For": address})
