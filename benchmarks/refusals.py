"""P7: what refusing costs."""

import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks import installation, load
from benchmarks.load import Connection, Span
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from benchmarks.signing_in import token_of


@dataclass(slots=True)
class Target:
    """A request that is refused again and again."""

    name: str
    server: Server
    requests: list[bytes]
    expected: int
    goal: float | None = None
    spans: list[float] = field(default_factory=list)


async def measure(*, rounds: int, seconds: float) -> list[Result]:
    """Compare refusals with a bare request, in turns."""
    where = installation.create(SCRATCH / "p7", accounts=20, profile=installation.TOY)
    async with AsyncExitStack() as stack:
        bare = stack.enter_context(serve("benchmarks.apps.bare:app", name="p7-bare"))
        refusing = stack.enter_context(serve("benchmarks.apps.refusing:app", name="p7-refusing"))
        layered = stack.enter_context(
            serve(
                "benchmarks.apps.guarded:layered", name="p7-layered", environment=where.environment
            )
        )
        server = stack.enter_context(
            serve(
                "twinlock.login_server:create_app",
                name="p7-server",
                environment=where.environment,
                is_factory=True,
            )
        )
        targets = [
            Target("bare", bare, [load.get("/me")], 200),
            *await _tokens(refusing, layered, server, where),
            await _throttled(server),
        ]
        opened = {
            target.name: await stack.enter_async_context(load.connections(target.server))
            for target in targets
        }
        for number in range(rounds + 1):
            for target in targets:
                span = await _drive(target, opened[target.name], seconds)
                if number > 0:
                    target.spans.append(span.cpu_microseconds)
    bare_cpu = targets[0].spans
    return [
        compared("P7", f"CPU, {one.name}", one.spans, bare_cpu, at_most=one.goal)
        for one in targets[1:]
    ]


async def _tokens(
    refusing: Server, layered: Server, server: Server, where: installation.Installation
) -> list[Target]:
    good = await token_of(server, where.people)
    revoked = await token_of(server, where.people)
    async with load.connections(server, 1) as (connection,):
        out = load.post_json("/api/logout", {}, token=revoked)
        assert (await connection.request(out)).status == 204
    head, payload, signature = good.split(".")
    forged = f"{head}.{payload}.{signature[:-20]}{'A' * 20}"
    many = [
        load.get("/me", token=f"{head}.{payload}.{secrets.token_urlsafe(64)}")
        for _ in range(20_000)
    ]
    again = [load.get("/me", token=forged)], [load.get("/me", token=revoked)]
    return [
        Target(
            "a 401 of an application that does nothing else: the floor", refusing, again[0], 401
        ),
        Target("a forged token, again, behind the layer", layered, again[0], 401, 0.25),
        Target("a revoked token, again, behind the layer", layered, again[1], 401, 0.25),
        Target("another forged token each time", layered, many, 401),
    ]


async def _throttled(server: Server) -> Target:
    request = load.post_json("/api/login", {"username": "person19", "password": "wrong password"})
    async with load.connections(server, 1) as (connection,):
        while (await connection.request(request)).status != 429:
            pass
    return Target("a throttled login", server, [request], 429, 1.5)


async def _drive(target: Target, opened: list[Connection], seconds: float) -> Span:
    if len(target.requests) == 1:
        return await load.repeat(
            target.server, opened, target.requests[0], seconds=seconds, expected=target.expected
        )
    count = max(200, int(1_500 * seconds))
    these, target.requests = target.requests[:count], target.requests[count:]

    async def send(request: bytes, connection: Connection) -> None:
        reply = await connection.request(request)
        assert reply.status == target.expected, reply

    def jobs() -> Iterator[Any]:
        for request in these:
            yield lambda connection, request=request: send(request, connection)

    return await load.run_each(target.server, opened, jobs())
