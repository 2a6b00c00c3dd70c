"""P1: what the guard costs an authenticated request."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from benchmarks import installation, load, peer_requests
from benchmarks.load import Connection, Span
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from benchmarks.signing_in import token_of


@dataclass(slots=True)
class Target:
    """One route of one server."""

    name: str
    server: Server
    request: bytes
    expected: int = 200
    connections: list[Connection] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    @property
    def cpu(self) -> list[float]:
        return [span.cpu_microseconds for span in self.spans]

    @property
    def rate(self) -> list[float]:
        return [span.per_second for span in self.spans]


async def measure(*, rounds: int, seconds: float) -> list[Result]:
    """Compare the same route with and without the guard, in turns."""
    where = installation.create(SCRATCH / "p1", accounts=4, profile=installation.TOY)
    async with AsyncExitStack() as stack:
        targets = await _targets(stack, where)
        for target in targets:
            opened = load.connections(target.server)
            target.connections = await stack.enter_async_context(opened)
            await _drive(target, 0.3)
        for number in range(rounds):
            turn = number % len(targets)
            for target in targets[turn:] + targets[:turn]:
                target.spans.append(await _drive(target, seconds))
    return _results({target.name: target for target in targets})


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
    bare = found["bare"]

    def cpu(name: str, what: str, at_most: float | None = None, note: str = "") -> Result:
        return compared("P1", what, found[name].cpu, bare.cpu, at_most=at_most, note=note)

    def rate(name: str, what: str, at_least: float | None = None) -> Result:
        return compared("P1", what, found[name].rate, bare.rate, at_least=at_least)

    return [
        cpu("bare again", "CPU, a second bare target", 1.02, "noise"),
        cpu("empty", "CPU, an empty dependency of FastAPI: the floor of the next"),
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
