"""P1: what the guard costs an authenticated request."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from benchmarks import installation, load, peer_requests
from benchmarks.load import Connection, Span
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from benchmarks.signing_in import token_of

Measured = Callable[[Span], float]


@dataclass(slots=True)
class Target:
    """One route of one server.

    Attributes:
        spans: What was measured, a round each.
        around: The bare route a moment before and a moment after each.
    """

    name: str
    server: Server
    request: bytes
    expected: int = 200
    connections: list[Connection] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    around: list[tuple[Span, Span]] = field(default_factory=list)

    def compared(self, what: str, measured: Measured, **goal: Any) -> Result:
        """Return the target against the bare route, by one of a span's numbers."""
        ours = [measured(span) for span in self.spans]
        bare = [(measured(before) + measured(after)) / 2 for before, after in self.around]
        return compared("P1", what, ours, bare, **goal)


async def measure(*, rounds: int, seconds: float) -> list[Result]:
    """Compare the same route with and without the guard: bare between any two others."""
    where = installation.create(SCRATCH / "p1", accounts=4, profile=installation.TOY)
    async with AsyncExitStack() as stack:
        targets = await _targets(stack, where)
        for target in targets:
            opened = load.connections(target.server)
            target.connections = await stack.enter_async_context(opened)
            await _drive(target, 0.3)
        bare, *others = targets
        before = await _drive(bare, seconds)
        for number in range(rounds):
            turn = number % len(others)
            for target in others[turn:] + others[:turn]:
                target.spans.append(await _drive(target, seconds))
                after = await _drive(bare, seconds)
                target.around.append((before, after))
                before = after
    return _results({target.name: target for target in others})


async def _drive(target: Target, seconds: float) -> Span:
    return await load.repeat(
        target.server,
        target.connections,
        target.request,
        seconds=seconds,
        expected=target.expected,
    )


async def _targets(stack: AsyncExitStack, where: installation.Installation) -> list[Target]:
    def start(app: str, **options: object) -> Server:
        return stack.enter_context(serve(app, **options))  # type: ignore[arg-type]

    bare = start("benchmarks.apps.bare:app", name="bare")
    again = start("benchmarks.apps.bare:app", name="bare-again")
    guarded = start("benchmarks.apps.guarded:app", name="guarded", environment=where.environment)
    layered = start(
        "benchmarks.apps.guarded:layered", name="layered", environment=where.environment
    )
    beside = start("benchmarks.apps.guarded:beside", name="beside", environment=where.environment)
    login_server = start(
        "twinlock.login_server:create_app",
        name="login-server",
        environment=where.environment,
        is_factory=True,
    )
    token = await token_of(guarded, where.people)
    return [
        Target("bare", bare, load.get("/me", token=token)),
        Target("bare again", again, load.get("/me", token=token)),
        Target("empty", again, load.get("/empty", token=token)),
        Target("two empty", again, load.get("/two", token=token)),
        Target("beside", beside, load.get("/me", token=token)),
        Target("dependency", guarded, load.get("/me", token=token)),
        Target("require", guarded, load.get("/strict", token=token)),
        Target("layer", layered, load.get("/me", token=token)),
        Target("layer and dependency", layered, load.get("/both", token=token)),
        Target("forward-auth", layered, load.get("/forward-auth", token=token), 204),
        Target("login server", login_server, load.get("/users/me", token=token)),
        *(
            Target(f"peer {name}", server, request)
            for name, server, request in await peer_requests.readers(stack)
        ),
    ]


def _results(found: dict[str, Target]) -> list[Result]:
    def cpu(name: str, what: str, at_most: float | None = None, note: str = "") -> Result:
        by = attrgetter("cpu_microseconds")
        return found[name].compared(what, by, at_most=at_most, note=note)

    def rate(name: str, what: str, at_least: float | None = None) -> Result:
        return found[name].compared(what, attrgetter("per_second"), at_least=at_least)

    return [
        cpu("bare again", "CPU, a second bare target", 1.02, "noise"),
        cpu("empty", "CPU, an empty dependency of FastAPI: the floor of the next"),
        cpu("beside", "CPU, a route without a guard in an application with Twinlock"),
        cpu("dependency", "CPU, one dependency", 1.20),
        rate("dependency", "requests/s, one dependency", 0.82),
        cpu("two empty", "CPU, two empty dependencies: the floor of the next"),
        cpu("require", "CPU, `dependencies=[require(…)]` and `CurrentUser`", 1.30),
        cpu("layer", "CPU, behind the ASGI layer", 1.06),
        rate("layer", "requests/s, behind the ASGI layer", 0.94),
        rate("forward-auth", "requests/s, forward-auth answer", 4.0),
        cpu("layer and dependency", "CPU, behind the layer and `CurrentUser`"),
        cpu("forward-auth", "CPU, forward-auth answer"),
        cpu("login server", "CPU, `/users/me` of the login server"),
        *(
            measured(name, f"{what}, the same route at {name.removeprefix('peer ')}")
            for name in found
            if name.startswith("peer ")
            for measured, what in ((cpu, "CPU"), (rate, "requests/s"))
        ),
    ]
