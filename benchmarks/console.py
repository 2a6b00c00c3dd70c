"""P6, too: what an admin's pages take among a million accounts and ten million events."""

import re
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import Connection as Transaction
from sqlalchemy import text

from benchmarks import load, signing_in
from benchmarks.houses import House
from benchmarks.installation import PASSWORD
from benchmarks.load import Connection as Line
from benchmarks.results import Result, middle_half
from tests.support import plans
from twinlock.db.engine import Database

_BIG: Final = re.compile(r"\b(account|subject|authenticator|totp|recovery_code|event|session)\b")
_FROM_US: Final = {"Sec-Fetch-Site": "same-origin"}


async def measure(name: str, house: House, *, times: int) -> list[Result]:
    """Open every page of the console, and ask the database for its plan of every statement."""
    with closing(Database(house.url)) as database:
        found = database.reading(_scanning)
        database.transaction(_make_admin, house.where.people.all[0].username)
    results = [
        Result(
            "P6",
            f"statements of {len(plans.statements())} that read a whole table, {name}",
            len(found),
            unit="statements",
            at_most=0,
            note=", ".join(found),
        )
    ]
    async with load.connections(house.server, 1) as (line,):
        cookie = await _sign_in(line, house)
        for what, paths in _pages(house, times).items():
            taken = [await _open(line, path, cookie) * 1000 for path in paths]
            results.append(
                Result(
                    "P6",
                    f"p99 of the console, {what}, {name}",
                    statistics.quantiles(taken, n=100, method="inclusive")[98],
                    spread=middle_half(taken),
                    unit="ms",
                )
            )
    return results


def _scanning(db: Transaction) -> list[str]:
    """Return the statements of requests that would read a whole one of the large tables."""
    return [
        one.name
        for one in plans.statements()
        if one.name not in plans.WHOLE and any(map(_BIG.search, plans.scans(db, one)))
    ]


def _make_admin(tx: Transaction, username: str) -> None:
    tx.execute(
        text("UPDATE account SET roles = 'admin' WHERE username_key = :name"), {"name": username}
    )


def _pages(house: House, times: int) -> dict[str, Iterator[str]]:
    """Return every page of the console, with other values each time it is opened."""
    people = house.where.people.all
    subjects = [person.subject for person in people[1 : times + 1]]

    def accounts(**asked: str) -> Iterator[str]:
        for number in range(times):
            values = {
                key: value.format(n=number, hex=f"{number:02x}") for key, value in asked.items()
            }
            yield f"/admin/accounts?{urlencode(values)}"

    def events(**asked: str) -> Iterator[str]:
        for number in range(times):
            values = {key: value.format(n=number + 1) for key, value in asked.items()}
            yield f"/admin/events?{urlencode(values)}"

    return {
        "its overview": iter(["/admin"] * times),
        "accounts, and those found by a name or an address": chain(
            accounts(),
            accounts(q="user000{hex}"),
            accounts(q="user000{hex}12@example.org"),
            accounts(q="Anna S"),
            accounts(q="nobody{n}"),
            accounts(role="admin"),
            accounts(state="disabled"),
        ),
        "accounts by what no index holds": chain(
            accounts(factor="none"), accounts(state="behind_policy")
        ),
        "one account": (f"/admin/accounts/{subject}" for subject in subjects),
        "events, and those of an account, a kind, a day": chain(
            events(),
            events(user="user{n:08x}"),
            events(type="refresh.reused"),
            events(outcome="denied"),
            events(since="2026-03-{n:02d}", until="2026-03-{n:02d}"),
        ),
        "events of an address": chain(events(ip="192.0.2.{n}"), events(ip="203.0.113.{n}")),
        "mails, keys, policies": iter(["/admin/mail", "/admin/keys", "/admin/policies"] * times),
    }


async def _sign_in(line: Line, house: House) -> str:
    person = house.where.people.all[0]
    body = {"username": person.username, "password": PASSWORD, "transport": "cookie"}
    headers = _FROM_US | {"X-Forwarded-For": "192.0.2.250"}
    reply = await line.request(load.post_json("/api/login", body, headers=headers))
    assert reply.status == 200, reply
    body = {
        "login": reply.json()["login"],
        "answer": await signing_in.code_of(person),
        "transport": "cookie",
    }
    reply = await line.request(load.post_json("/api/login/totp", body, headers=headers))
    assert reply.status == 200, reply
    set_cookies = re.findall(rb"(?im)^set-cookie: ([^;\r\n]+)", reply.head)
    return "; ".join(one.decode() for one in set_cookies)


async def _open(line: Line, path: str, cookie: str) -> float:
    begun = time.perf_counter()
    reply = await line.request(load.get(path, headers=_FROM_US | {"Cookie": cookie}))
    assert reply.status == 200, (path, reply)
    return time.perf_counter() - begun
