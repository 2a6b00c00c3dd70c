"""P3: the CPU of a full login with two factors, in bare requests and in hashes."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import installation, load, signing_in
from benchmarks.installation import PASSWORD, People
from benchmarks.load import Connection, Span
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from twinlock.accounts.passwords import HashProfile, hash_password, is_password

_AT_ONCE = 8

Door = Callable[[Connection, People], Awaitable[str]]


@dataclass(slots=True)
class Target:
    """One door of one server."""

    name: str
    server: Server
    people: People
    door: Door
    spans: list[Span] = field(default_factory=list)

    @property
    def cpu(self) -> list[float]:
        return [span.cpu_microseconds for span in self.spans]


async def measure(
    *, rounds: int, logins: int, postgres_url: str | None, has_real_hash: bool = True
) -> list[Result]:
    """Sign many people in through both doors, and compare with a bare request and a hash."""
    async with AsyncExitStack() as stack:
        bare = stack.enter_context(serve("benchmarks.apps.bare:app", name="bare"))
        bare_spans: list[Span] = []
        hash_seconds: list[float] = []
        targets = [
            *_doors(stack, "SQLite", installation.TOY, None),
            *(_doors(stack, "PostgreSQL", installation.TOY, postgres_url) if postgres_url else []),
            *(_doors(stack, "real hash", installation.REAL, None) if has_real_hash else []),
        ]
        opened = await stack.enter_async_context(load.connections(bare))
        for target in targets:
            await _sign_in(target, 32)
        for _ in range(rounds):
            span = await load.repeat(bare, opened, load.get("/me"), seconds=0.7)
            bare_spans.append(span)
            hash_seconds.append(_hash_seconds(installation.REAL) if has_real_hash else 1)
            for target in targets:
                is_real = target.name.startswith("real")
                target.spans.append(await _sign_in(target, logins // 4 if is_real else logins))
    return _results(
        {target.name: target for target in targets},
        bare=[span.cpu_microseconds for span in bare_spans],
        one_hash=[seconds * 1e6 for seconds in hash_seconds],
    )


def _doors(
    stack: AsyncExitStack, name: str, profile: HashProfile, database_url: str | None
) -> list[Target]:
    folder: Path = SCRATCH / ("p3-" + name.replace(" ", "-").lower())
    where = installation.create(folder, accounts=1_500, profile=profile, database_url=database_url)
    server = stack.enter_context(
        serve(
            "twinlock.login_server:create_app",
            name="login-" + name.replace(" ", "-").lower(),
            environment=where.environment,
            is_factory=True,
        )
    )
    return [
        Target(f"{name} `/token`", server, where.people, signing_in.at_token),
        Target(f"{name} two-step", server, where.people, signing_in.in_two_steps),
    ]


async def _sign_in(target: Target, count: int) -> Span:
    def jobs() -> Iterator[Callable[[Connection], Awaitable[None]]]:
        for _ in range(count):
            yield one

    async def one(connection: Connection) -> None:
        await target.door(connection, target.people)

    async with load.connections(target.server, _AT_ONCE) as opened:
        return await load.run_each(target.server, opened, jobs())


def _hash_seconds(profile: HashProfile, *, times: int = 12) -> float:
    """Return the CPU of one comparison of a password with a hash, in this process."""
    stored = hash_password(PASSWORD, profile=profile)
    begun = time.process_time()
    for _ in range(times):
        assert is_password(stored, PASSWORD)
    return (time.process_time() - begun) / times


def _results(found: dict[str, Target], *, bare: list[float], one_hash: list[float]) -> list[Result]:
    goals = {
        "SQLite `/token`": (bare, 18.0, "bare requests"),
        "SQLite two-step": (bare, 25.0, "bare requests"),
        "PostgreSQL `/token`": (bare, 25.0, "bare requests"),
        "PostgreSQL two-step": (bare, 32.0, "bare requests"),
        "real hash `/token`": (one_hash, 1.15, "one hash"),
        "real hash two-step": (one_hash, 1.20, "one hash"),
    }
    return [
        compared(
            "P3",
            f"CPU of a login, {name}, against {unit}",
            found[name].cpu,
            against,
            at_most=goal,
        )
        for name, (against, goal, unit) in goals.items()
        if name in found
    ]
