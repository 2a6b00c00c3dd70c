"""P6: what a login, a refresh and a check cost among a thousand accounts and among a million.

Four installations do the same work in turns: one of a thousand accounts, its twin, which shows
how far two equal ones come out apart, one of many accounts, and one of many accounts with many
events and sessions. What counts is the CPU of the server and of the database's processes for it.
"""

import asyncio
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Final

import psycopg
from sqlalchemy.engine import make_url

from benchmarks import filling, installation, load
from benchmarks.filling import Sizes
from benchmarks.installation import PASSWORD, Installation
from benchmarks.load import Connection as Line
from benchmarks.postgres import ROOMY, Backends, plain, postgres_url
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared, middle_half
from twinlock.accounts.passwords import hash_password

_SMALL: Final = 1_000
"""All of them can sign in; whoever else there is was filled in."""
_AT_ONCE: Final = 30
_PAIRS: Final = 15
_TOLD_SECONDS: Final = 1.5
"""How late PostgreSQL's processes tell which pages they have looked at."""
_NAMES: Final = ("known", "unknown", "in another case")

Job = Callable[[Line], Awaitable[None]]


@dataclass(slots=True)
class House:
    """An installation of some size, served."""

    where: Installation
    url: str
    server: Server
    backends: Backends | None
    tokens: list[tuple[str, str]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _NAMES})
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def cpu_seconds(self) -> float:
        """Return what the server and its part of the database have used."""
        database = 0.0 if self.backends is None else self.backends.cpu_seconds()
        return self.server.cpu_seconds() + database


async def measure(*, rounds: int, accounts: int, rows: int) -> list[Result]:
    """Compare an installation of a thousand accounts with grown ones, on both databases."""
    results = await _measure_on("SQLite", None, rounds=rounds, accounts=accounts, rows=rows)
    with postgres_url("p6", ROOMY) as url:
        if url is not None:
            results += await _measure_on(
                "PostgreSQL", url, rounds=rounds, accounts=accounts, rows=rows
            )
    return results


async def _measure_on(
    name: str, url: str | None, *, rounds: int, accounts: int, rows: int
) -> list[Result]:
    with ExitStack() as stack:
        many = Sizes(accounts - _SMALL)
        small = _Built(stack, f"{name}-small", url)
        twin = small.copied("twin")
        grown = small.copied("grown").filled(Sizes(0), many)
        full = grown.copied("full").filled(many, Sizes(many.accounts, rows, rows))
        kinds = {
            "the same again": twin,
            f"{accounts:,} accounts": grown,
            f"{accounts:,} accounts, {rows:,} events and sessions": full,
        }
        base, others = small.served(), {what: built.served() for what, built in kinds.items()}
        houses = [base, *others.values()]
        for number in range(rounds + 1):
            await _round(houses if number % 2 else houses[::-1])
            if number == 0:  # everything was done once
                for house in houses:
                    house.cpu.clear()
        results = _costs(name, base, others)
        results += _names(name, base, others)
        results += await _pages(name, base, others)
        from benchmarks import console

        results += await console.measure(name, others.popitem()[1])
    return results


def _costs(name: str, base: House, others: dict[str, House]) -> list[Result]:
    results = []
    for number, (size, house) in enumerate(others.items()):
        ratios = [
            compared("P6", f"CPU of {what}, {name}, {size}", cost, base.cpu[what])
            for what, cost in house.cpu.items()
        ]
        if number == 0:
            farthest = max(ratios, key=lambda one: one.value)
            results.append(replace(farthest, what=f"CPU, {name}, equal ones, at the farthest"))
        else:
            results += [replace(one, at_most=(1.02, 1.10)[number - 1]) for one in ratios]
    return results


async def _pages(name: str, base: House, others: dict[str, House]) -> list[Result]:
    """Return how many pages of PostgreSQL a login looks at, which no other load can change."""
    if base.backends is None:
        return []
    usual = await _pages_of_login(base)
    return [
        Result(
            "P6", f"pages that a login looks at, {name}, {size}", await _pages_of_login(one) / usual
        )
        for size, one in list(others.items())[1:]
    ]


async def _pages_of_login(house: House) -> float:
    assert house.backends is not None
    async with load.connections(house.server, 1) as opened:
        await asyncio.sleep(_TOLD_SECONDS)
        before = house.backends.pages()
        await load.run_each(house.server, opened, iter([_sign_in(house)] * _AT_ONCE))
        await asyncio.sleep(_TOLD_SECONDS)
        return (house.backends.pages() - before) / _AT_ONCE


def _names(name: str, base: House, others: dict[str, House]) -> list[Result]:
    """Return how far apart the medians of the answers lie, in percent of one real hash."""
    hash_seconds = _hash_seconds()
    results = []
    for size, house in {f"{_SMALL:,} accounts": base, **dict(list(others.items())[1:])}.items():
        for kind, what in (
            ("unknown", "an unknown name"),
            ("in another case", "a name in another case"),
        ):
            known_cpu, cpu = house.cpu["a wrong password"], house.cpu[what]
            known, seconds = house.seconds["known"], house.seconds[kind]
            for measure, ours, theirs in (("CPU", cpu, known_cpu), ("time", seconds, known)):
                apart = [
                    (one - other) / hash_seconds * 100
                    for one, other in zip(ours, theirs, strict=True)
                ]
                between = statistics.median(ours) - statistics.median(theirs)
                results.append(
                    Result(
                        "P6",
                        f"{measure} of a name {kind} beyond a known one, of a hash, {name}, {size}",
                        abs(between) / hash_seconds * 100,
                        spread=middle_half(apart),
                        unit="%",
                        at_most=1,
                    )
                )
    return results


def _hash_seconds() -> float:
    taken = []
    for _ in range(25):
        begun = time.thread_time()
        hash_password(PASSWORD, profile=installation.REAL)
        taken.append(time.thread_time() - begun)
    return statistics.median(taken)


class _Built:
    """An installation that can be copied while nobody serves it."""

    def __init__(
        self, stack: ExitStack, name: str, url: str | None, where: Installation | None = None
    ) -> None:
        self._stack = stack
        self._name = name
        self._folder = SCRATCH / f"p6-{name.lower()}"
        self._url = url or f"sqlite:///{self._folder / 'twinlock.sqlite3'}"
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._where = where or installation.create(
            self._folder, accounts=_SMALL, profile=installation.TOY, database_url=url
        )

    def copied(self, name: str) -> "_Built":
        """Return a copy: the same keys, the same people, a database of its own."""
        folder = SCRATCH / f"p6-{self._name.lower().partition('-')[0]}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folder, folder)
        environment = self._where.environment | {"TWINLOCK_DATA_DIR": str(folder)}
        url = None
        if "TWINLOCK_DATABASE_URL" in environment:
            url = _copy_of(self._url, f"p6_{name}")
            environment["TWINLOCK_DATABASE_URL"] = url
        where = Installation(environment, deepcopy(self._where.people))
        return _Built(self._stack, folder.name.removeprefix("p6-"), url, where)

    def filled(self, present: Sizes, wanted: Sizes) -> "_Built":
        """Fill it and return it."""
        filling.fill(self._url, present, wanted)
        return self

    def served(self) -> House:
        """Return it, with a server of its own."""
        server = self._stack.enter_context(
            serve(
                "twinlock.login_server:create_app",
                name=f"p6-{self._name.lower()}",
                environment={**self._where.environment, "TWINLOCK_TRUSTED_PROXIES": "127.0.0.1"},
                is_factory=True,
            )
        )
        backends = None
        if not self._url.startswith("sqlite"):
            backends = Backends(self._url)
            self._stack.callback(backends.close)
        return House(self._where, self._url, server, backends)


def _copy_of(url: str, name: str) -> str:
    """Make a copy of a database that nobody uses, on the same server."""
    source = make_url(url)
    with psycopg.connect(
        plain(url.replace(f"/{source.database}", "/postgres")), autocommit=True
    ) as one:
        one.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source.database}"'.encode())
    return source.set(database=name).render_as_string(hide_password=False)


async def _round(houses: list[House]) -> None:
    """Do each kind of work in one house after the other, so that they are compared at one time."""
    work: dict[str, Callable[[House], tuple[Job, int]]] = {
        "a login": lambda house: (_sign_in(house), _AT_ONCE),
        "a refresh": lambda house: (_refresh(house), _AT_ONCE),
        "a first look at a token": lambda house: (_look(house), 2 * _AT_ONCE),
        "a wrong password": lambda house: (_wrong(house, _known), _AT_ONCE),
        "an unknown name": lambda house: (_wrong(house, _unknown), _AT_ONCE),
        "a name in another case": lambda house: (_wrong(house, _mixed), _AT_ONCE),
    }
    for what, made in work.items():
        for house in houses:
            job, times = made(house)
            house.cpu.setdefault(what, []).append(await _drive(house, job, times))
    for house in houses:
        await _time_names(house)


async def _drive(house: House, job: Job, times: int) -> float:
    async with load.connections(house.server, 4) as opened:
        before = house.cpu_seconds()
        await load.run_each(house.server, opened, iter([job] * times))
        return (house.cpu_seconds() - before) / times


async def _time_names(house: House) -> None:
    """Ask for names of each kind in turns, one at a time, and note how long the answers took."""
    kinds = dict(zip(_NAMES, (_known, _unknown, _mixed), strict=True))
    async with load.connections(house.server, 1) as (line,):
        for number in range(_PAIRS):
            turn = list(kinds.items())
            for what, name in turn[number % 3 :] + turn[: number % 3]:
                request = _wrong_password(house, name)
                begun = time.perf_counter()
                reply = await line.request(request)
                house.seconds[what].append(time.perf_counter() - begun)
                assert reply.status == 400, reply


def _sign_in(house: House) -> Job:
    async def sign_in(line: Line) -> None:
        person, code = house.where.people.next_code()
        form = {"grant_type": "password", "username": person.username, "password": PASSWORD + code}
        _keep(house, await line.request(load.post_form("/token", form)))

    return sign_in


def _refresh(house: House) -> Job:
    presented = list(house.tokens)
    house.tokens.clear()

    async def refresh(line: Line) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": presented.pop()[1]}
        _keep(house, await line.request(load.post_form("/token", form)))

    return refresh


def _keep(house: House, reply: load.Reply) -> None:
    assert reply.status == 200, reply
    told = reply.json()
    house.tokens.append((told["access_token"], told["refresh_token"]))
    house.unseen.append(told["access_token"])


def _look(house: House) -> Job:
    house.tokens.clear()

    async def look(line: Line) -> None:
        reply = await line.request(load.get("/users/me", token=house.unseen.pop()))
        assert reply.status == 200, reply

    return look


def _wrong(house: House, name: Callable[[House, int], str]) -> Job:
    async def wrong(line: Line) -> None:
        reply = await line.request(_wrong_password(house, name))
        assert reply.status == 400, reply

    return wrong


def _wrong_password(house: House, name: Callable[[House, int], str]) -> bytes:
    number = next(house.numbers)  # each from a network of its own, or all would be throttled
    headers = {"X-Forwarded-For": f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"}
    form = {
        "grant_type": "password",
        "username": name(house, number),
        "password": PASSWORD + "x",
    }
    return load.post_form("/token", form, headers=headers)


def _known(house: House, number: int) -> str:
    people = house.where.people.all
    return people[number % len(people)].username


def _unknown(house: House, number: int) -> str:
    return f"nobody{number}"


def _mixed(house: House, number: int) -> str:
    return _known(house, number).title()
