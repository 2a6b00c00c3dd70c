"""P6: what a login, a refresh and a check cost among a thousand accounts and among a million.

Four installations do the same work in turns: one of a thousand accounts, its twin, which shows
how far two equal ones come out apart, one of many accounts, and one of many accounts with many
events and sessions. What counts is the CPU of the server and of the database's processes for it.
Hashes are toys while one measures, so that what grows is seen; a real one's CPU is then added.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from benchmarks import console, installation, load
from benchmarks.filling import Sizes
from benchmarks.houses import Built, House
from benchmarks.installation import PASSWORD
from benchmarks.load import Connection as Line
from benchmarks.postgres import ROOMY, postgres_url
from benchmarks.results import Result, compared, middle_half
from twinlock.accounts.passwords import hash_password

_SMALL: Final = 1_000
"""All of them can sign in; whoever else there is was filled in."""
_AT_ONCE: Final = 30
_PAIRS: Final = 15
_TOLD_SECONDS: Final = 1.5
"""How late PostgreSQL's processes tell which pages they have looked at."""
_NAMES: Final = ("known", "unknown", "in another case")
_WITH_HASH: Final = ("a login", "a wrong password", "an unknown name", "a name in another case")

Job = Callable[[Line], Awaitable[None]]


async def measure(*, rounds: int, accounts: int, rows: int, pages: int) -> list[Result]:
    """Compare an installation of a thousand accounts with grown ones, on both databases."""
    results = await _measure_on(
        "SQLite", None, rounds=rounds, accounts=accounts, rows=rows, pages=pages
    )
    with postgres_url("p6", ROOMY) as url:
        if url is not None:
            results += await _measure_on(
                "PostgreSQL", url, rounds=rounds, accounts=accounts, rows=rows, pages=pages
            )
    return results


async def _measure_on(
    name: str, url: str | None, *, rounds: int, accounts: int, rows: int, pages: int
) -> list[Result]:
    with ExitStack() as stack:
        many = Sizes(accounts - _SMALL)
        small = Built(stack, f"{name}-small", url, accounts=_SMALL)
        twin = small.copied("twin")
        grown = small.copied("grown").filled(Sizes(0), many)
        full = grown.copied("full").filled(many, Sizes(many.accounts, rows, rows))
        base, equal = small.served(), twin.served()
        others = {
            f"{_short(accounts)} accounts": grown.served(),
            f"{_short(accounts)} accounts, {_short(rows)} events and sessions": full.served(),
        }
        houses = [base, equal, *others.values()]
        for number in range(rounds + 1):
            await _round(houses if number % 2 else houses[::-1])
            if number == 0:  # everything was done once
                for house in houses:
                    house.cpu.clear()
        hash_seconds = _hash_seconds()
        farthest = max(_compared(name, "", base, equal), key=lambda one: one.value)
        results = [replace(farthest, what=f"CPU, {name}, two equal ones, at the farthest")]
        for (size, house), goal in zip(others.items(), (1.02, 1.10), strict=True):
            results += _costs(name, size, base, house, goal, hash_seconds)
        for size, house in {f"{_short(_SMALL)} accounts": base, **others}.items():
            results += _names(name, size, house, hash_seconds)
        results += await _pages(name, base, others)
        results += await console.measure(name, house, times=pages)
    return results


def _short(number: int) -> str:
    return f"{number // 10**6} M" if number >= 10**6 else f"{number:,}"


def _compared(name: str, size: str, base: House, house: House) -> list[Result]:
    return [
        compared("P6", f"CPU of {what}, {name}, {size}", cost, base.cpu[what])
        for what, cost in house.cpu.items()
    ]


def _costs(
    name: str, size: str, base: House, house: House, goal: float, hash_seconds: float
) -> list[Result]:
    """Compare the costs; what holds a hash in use gets that of a real one on both sides."""
    results = []
    for what, cost in house.cpu.items():
        called = f"CPU of {what}, {name}, {size}"
        if what not in _WITH_HASH:
            results.append(compared("P6", called, cost, base.cpu[what], at_most=goal))
            continue
        results.append(compared("P6", f"{called}, without the hash", cost, base.cpu[what]))
        ours, theirs = ([one + hash_seconds for one in costs] for costs in (cost, base.cpu[what]))
        results.append(compared("P6", called, ours, theirs, at_most=goal))
    return results


async def _pages(name: str, base: House, others: dict[str, House]) -> list[Result]:
    """Return how many pages more are looked at than in the small one, whatever else runs here.

    On PostgreSQL all pages, on SQLite those that are read from the file.
    """
    results = []
    for what, made in (("a login", _sign_in), ("a refresh", _refresh)):
        usual = await _pages_of(base, made)
        for size, house in others.items():
            more = await _pages_of(house, made) - usual
            called = f"pages that {what} looks at more, {name}, {size}"
            results.append(Result("P6", called, more, unit="pages"))
    return results


async def _pages_of(house: House, made: Callable[[House], Job]) -> float:
    async with load.connections(house.server, 1) as opened:
        await asyncio.sleep(_TOLD_SECONDS)  # what came before is told by now
        before = house.pages()
        await load.run_each(house.server, opened, iter([made(house)] * _AT_ONCE))
        await asyncio.sleep(_TOLD_SECONDS)  # and now these
        return (house.pages() - before) / _AT_ONCE


def _names(name: str, size: str, house: House, hash_seconds: float) -> list[Result]:
    """Return how far apart the answers lie, in percent of one real hash.

    What the server does decides; how long it takes tells the same on a machine of its own only.
    """
    results = []
    for kind, what in zip(_NAMES[1:], ("an unknown name", "a name in another case"), strict=True):
        called = f"of a name {kind} beyond a known one, of a hash, {name}, {size}"
        cpu, seconds = house.cpu, house.seconds
        for measured, ours, theirs, goal in (
            ("CPU", cpu[what], cpu["a wrong password"], 1.0),
            ("time", seconds[kind], seconds[_NAMES[0]], None),
        ):
            apart = [one - other for one, other in zip(ours, theirs, strict=True)]
            shares = [100 * one / hash_seconds for one in apart]
            between = statistics.median(ours) - statistics.median(theirs)
            results.append(
                Result(
                    "P6",
                    f"{measured} {called}",
                    abs(100 * between / hash_seconds),
                    spread=middle_half(shares),
                    unit="%",
                    at_most=goal,
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
                house.seconds.setdefault(what, []).append(time.perf_counter() - begun)
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
