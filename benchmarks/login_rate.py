"""P4: logins a second, against what the cores could hash and against the peers."""

import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from benchmarks import installation, load, peer_requests, peers, signing_in
from benchmarks.installation import PASSWORD
from benchmarks.load import Connection
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from twinlock.accounts.passwords import hash_password, is_password

_AT_ONCE = 12

SignIn = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class Target:
    """One way to sign in at one server."""

    name: str
    server: Server
    sign_in: SignIn
    rates: list[float] = field(default_factory=list)


async def measure(*, rounds: int, seconds: float) -> list[Result]:
    """Sign in at everybody's as fast as it goes, in turns."""
    async with AsyncExitStack() as stack:
        targets = [*_ours(stack), *_theirs(stack)]
        capacities: list[float] = []
        for target in targets:
            await _drive(target, 0.5)
        for _ in range(rounds):
            capacities.append(_hashes_a_second())
            for target in targets:
                target.rates.append(await _drive(target, seconds))
    return _results({target.name: target.rates for target in targets}, capacities)


def _ours(stack: AsyncExitStack) -> list[Target]:
    where = installation.create(SCRATCH / "p4", accounts=1_500)
    server = stack.enter_context(
        serve(
            "twinlock.login_server:create_app",
            name="p4-twinlock",
            environment=where.environment,
            is_factory=True,
        )
    )

    async def at_token(connection: Connection) -> None:
        await signing_in.at_token(connection, where.people)

    async def in_two_steps(connection: Connection) -> None:
        await signing_in.in_two_steps(connection, where.people)

    return [Target("`/token`", server, at_token), Target("two-step", server, in_two_steps)]


def _theirs(stack: AsyncExitStack) -> list[Target]:
    users_form = {"username": "person7@example.com", "password": PASSWORD}
    form = {"username": "person0", "password": PASSWORD}
    sign_in_users = partial(_post, load.post_form("/auth/jwt/login", users_form))
    sign_in = partial(_post, load.post_form("/token", form))
    sign_in_allauth = partial(_post, load.post_json("/_allauth/app/v1/auth/login", form))
    start = partial(peer_requests.start, stack)
    found = (
        ("fastapi-users", start(peers.FASTAPI_USERS, "fastapi_users_app"), sign_in_users),
        (
            "the same hash",
            start(peers.FASTAPI_USERS, "fastapi_users_app", BENCH_HASH="same"),
            sign_in_users,
        ),
        ("allauth", start(peers.ALLAUTH, "allauth_app"), sign_in_allauth),
        ("crudauth", start(peers.CRUDAUTH, "crudauth_app"), sign_in),
        ("tutorial", start(peers.TUTORIAL, "tutorial"), sign_in),
    )
    return [Target(name, server, door) for name, server, door in found if server]


async def _post(request: bytes, connection: Connection) -> None:
    reply = await connection.request(request)
    assert reply.status == 200, reply


async def _drive(target: Target, seconds: float) -> float:
    until = time.monotonic() + seconds

    def jobs() -> Iterator[SignIn]:
        while time.monotonic() < until:
            yield target.sign_in

    async with load.connections(target.server, _AT_ONCE) as opened:
        span = await load.run_each(target.server, opened, jobs())
    return span.per_second


def _hashes_a_second(seconds: float = 1.0) -> float:
    """Return how many of our hashes all cores together compute in a second, and nothing else."""
    stored = hash_password(PASSWORD, profile=installation.REAL)
    counts: list[int] = []

    def work() -> None:
        count, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            is_password(stored, PASSWORD)
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(installation.cores())]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


def _results(rates: dict[str, list[float]], capacities: list[float]) -> list[Result]:
    found = [
        compared(
            "P4",
            f"logins/s, {name}, of what the cores hash",
            rates[name],
            capacities,
            at_least=goal,
        )
        for name, goal in {"`/token`": 0.86, "two-step": 0.82}.items()
    ]
    against = {
        "fastapi-users": ("fastapi-users at its defaults", 9.0),
        "the same hash": ("fastapi-users with our hash", 1.3),
        "allauth": ("django-allauth at its defaults", 12.0),
        "crudauth": ("crudauth at its defaults", None),
        "tutorial": ("the tutorial (bcrypt 12)", None),
    }
    found += [
        compared(
            "P4", f"logins/s, `/token`, of {what}", rates["`/token`"], rates[name], at_least=goal
        )
        for name, (what, goal) in against.items()
        if name in rates
    ]
    return [
        *found,
        *(
            Result("P4", f"{name}: logins", statistics.median(those), unit="/s")
            for name, those in rates.items()
        ),
    ]
