"""``python -m benchmarks.capacity [--write]``: what a number of accounts needs.

One server and one PostgreSQL do a few hundred logins, refreshes and requests; what each costs the
server, the database and its disk is read off, and multiplied. ``--write`` puts the tables into
docs/capacity.md.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from benchmarks import installation, load
from benchmarks.installation import PASSWORD, People
from benchmarks.load import Connection
from benchmarks.postgres import postgres_url
from benchmarks.processes import ROOT, SCRATCH, Server, cpu_seconds, prepare_scratch, serve
from benchmarks.report import machine

PAGE: Final = ROOT / "docs" / "capacity.md"
_BEGIN: Final = "<!-- measured: begin -->"
_END: Final = "<!-- measured: end -->"
_ACCOUNTS: Final = 1_500
_AT_ONCE: Final = 8
_DAY: Final = 86_400
_STATISTICS_SECONDS: Final = 1.5
"""How late PostgreSQL's processes tell what they have done."""
_LOAD: Final = 0.6
"""How busy a core may be at the busiest second, so that a queue stays short."""
_TABLES_OF_ACCOUNTS: Final = ("account", "subject", "authenticator", "totp", "recovery_code")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one of something costs.

    Attributes:
        server: CPU of the server's process, in ms.
        database: CPU of all processes of PostgreSQL, in ms.
        commits: Transactions.
        log: What is written ahead, in KiB: what replication and backups carry.
    """

    server: float
    database: float
    commits: float
    log: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured; sizes in KiB, indexes included."""

    login: Cost
    refresh: Cost
    request: Cost
    account: float
    session: float
    event: float
    events_of_login: float


@dataclass(frozen=True, slots=True)
class Use:
    """How people use it: change these to your own numbers.

    Attributes:
        active: Share of the accounts that come on a day.
        sign_ins: Of each of them, a day.
        refreshes: Of each of them, a day: access tokens live ten minutes.
        requests: To routes behind the guard, of each of them, a day.
        sessions: Kept for each account.
        peak: The busiest second, against the day's mean.
        events_kept: Days that events are kept.
    """

    active: float = 0.3
    sign_ins: float = 1
    refreshes: float = 24
    requests: float = 300
    sessions: float = 1.5
    peak: float = 5
    events_kept: int = 400


@dataclass(frozen=True, slots=True)
class Need:
    """What a number of accounts needs."""

    accounts: int
    logins: float
    refreshes: float
    requests: float
    server_cores: float
    database_cores: float
    commits: float
    log_mib: float
    disk_gib: float
    disk_of_events_gib: float


def needs(costs: Costs, use: Use, accounts: int) -> Need:
    """Return what *accounts* need at their busiest second."""
    active = accounts * use.active
    logins, refreshes, requests = (
        active * each / _DAY * use.peak for each in (use.sign_ins, use.refreshes, use.requests)
    )
    kinds = ((logins, costs.login), (refreshes, costs.refresh), (requests, costs.request))
    events = active * use.sign_ins * costs.events_of_login * use.events_kept
    kib = 2**20
    return Need(
        accounts=accounts,
        logins=logins,
        refreshes=refreshes,
        requests=requests,
        server_cores=sum(rate * cost.server for rate, cost in kinds) / 1_000 / _LOAD,
        database_cores=sum(rate * cost.database for rate, cost in kinds) / 1_000 / _LOAD,
        commits=sum(rate * cost.commits for rate, cost in kinds),
        log_mib=sum(rate * cost.log for rate, cost in kinds) / 1024,
        disk_gib=accounts * (costs.account + use.sessions * costs.session) / kib,
        disk_of_events_gib=events * costs.event / kib,
    )


async def measure(url: str, *, times: int) -> Costs:
    """Do each thing *times* times and return what it cost."""
    where = installation.create(
        SCRATCH / "capacity", accounts=_ACCOUNTS, profile=installation.REAL, database_url=url
    )
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    before = _sizes(engine)
    with serve(
        "twinlock.login_server:create_app",
        name="capacity",
        environment=where.environment,
        is_factory=True,
    ) as server:
        watch = _Watch(server, engine)
        tokens: list[tuple[str, str]] = []

        async def log_in(connection: Connection) -> None:
            tokens.append(await _signed_in(connection, where.people))

        async def refresh(connection: Connection) -> None:
            form = {"grant_type": "refresh_token", "refresh_token": tokens.pop()[1]}
            reply = await connection.request(load.post_form("/token", form))
            assert reply.status == 200, reply

        async def ask(connection: Connection) -> None:
            reply = await connection.request(load.get("/users/me", token=tokens[0][0]))
            assert reply.status == 200, reply

        await _each(server, log_in, 16)
        events_before = _count(engine, "event")
        login = await watch.cost(log_in, times)
        events_of_login = (_count(engine, "event") - events_before) / times
        request = await watch.cost(ask, times * 10)
        refreshed = await watch.cost(refresh, times)
        after = _sizes(engine)
        sessions, events = _count(engine, "session"), _count(engine, "event")
    engine.dispose()
    return Costs(
        login=login,
        refresh=refreshed,
        request=request,
        account=sum(before[name] for name in _TABLES_OF_ACCOUNTS if name in before) / _ACCOUNTS,
        session=after["session"] / sessions,
        event=after["event"] / events,
        events_of_login=events_of_login,
    )


class _Watch:
    """Reads what server and database have used."""

    def __init__(self, server: Server, engine: Engine) -> None:
        self._server = server
        self._engine = engine
        folder = Path(_scalar(engine, "SHOW data_directory"))
        self._postmaster = int((folder / "postmaster.pid").read_text().split()[0])

    async def cost(self, job: Callable[[Connection], Awaitable[None]], times: int) -> Cost:
        before = self._used()
        await _each(self._server, job, times)
        after = self._used()
        server, database, commits, log = (
            (new - old) / times for new, old in zip(after, before, strict=True)
        )
        return Cost(server * 1_000, database * 1_000, commits, log / 1024)

    def _used(self) -> tuple[float, float, float, float]:
        time.sleep(_STATISTICS_SECONDS)  # or the last transactions are missing
        commits = _scalar(
            self._engine,
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        )
        log = _scalar(self._engine, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
        return self._server.cpu_seconds(), self._database_seconds(), float(commits), float(log)

    def _database_seconds(self) -> float:
        path = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children")
        seconds = 0.0
        for pid in path.read_text().split():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                seconds += cpu_seconds(int(pid))
        return seconds


async def _each(server: Server, job: Callable[[Connection], Awaitable[None]], times: int) -> None:
    def jobs() -> Iterator[Callable[[Connection], Awaitable[None]]]:
        for _ in range(times):
            yield job

    async with load.connections(server, _AT_ONCE) as opened:
        await load.run_each(server, opened, jobs())


async def _signed_in(connection: Connection, people: People) -> tuple[str, str]:
    person, code = people.next_code()
    form = {"grant_type": "password", "username": person.username, "password": PASSWORD + code}
    reply = await connection.request(load.post_form("/token", form))
    assert reply.status == 200, reply
    told = reply.json()
    return told["access_token"], told["refresh_token"]


def _sizes(engine: Engine) -> dict[str, float]:
    """Return the KiB of each table with its indexes, empty pages left out by a rewrite."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM FULL"))
        rows = connection.execute(
            text("SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables")
        )
        return {name: size / 1024 for name, size in rows}


def _count(engine: Engine, table: str) -> int:
    return int(_scalar(engine, f'SELECT count(*) FROM "{table}"'))


def _scalar(engine: Engine, statement: str) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text(statement)).scalar_one())


def tables(costs: Costs, use: Use) -> str:
    """Return what was measured and what follows from it, as Markdown."""
    told = machine()
    where = (
        f"Measured on {told['cores']} cores, {told['system']} {told['architecture']}, with "
        f"Python {told['python']} and PostgreSQL on the same machine."
    )
    lines = [
        where,
        "",
        "| one | server, CPU | PostgreSQL, CPU | transactions | log |",
        "|---|---|---|---|---|",
    ]
    named = {
        "login with two factors": costs.login,
        "refresh": costs.refresh,
        "request behind the guard": costs.request,
    }
    lines += [
        f"| {name} | {cost.server:.2f} ms | {cost.database:.2f} ms | {cost.commits:.1f} "
        f"| {cost.log:.1f} KiB |"
        for name, cost in named.items()
    ]
    lines += [
        "",
        "| one row | disk, with its indexes |",
        "|---|---|",
        f"| account with a TOTP app and ten recovery codes | {costs.account:.1f} KiB |",
        f"| session | {costs.session:.2f} KiB |",
        f"| event ({costs.events_of_login:.1f} for a login) | {costs.event:.2f} KiB |",
        "",
        "| | " + " | ".join(f"{count:,}" for count in _SIZES) + " |",
        "|---|" + "---|" * len(_SIZES),
    ]
    found = [needs(costs, use, count) for count in _SIZES]
    rows: dict[str, Callable[[Need], str]] = {
        "logins a second": lambda need: _number(need.logins),
        "refreshes a second": lambda need: _number(need.refreshes),
        "requests a second": lambda need: _number(need.requests),
        "cores for servers": lambda need: _number(need.server_cores),
        "cores for PostgreSQL": lambda need: _number(need.database_cores),
        "transactions a second": lambda need: _number(need.commits),
        "log a second": lambda need: f"{_number(need.log_mib)} MiB",
        "disk, accounts and sessions": lambda need: f"{_number(need.disk_gib)} GiB",
        f"disk, events of {use.events_kept} days": lambda need: (
            f"{_number(need.disk_of_events_gib)} GiB"
        ),
    }
    lines += [f"| {name} | " + " | ".join(map(show, found)) + " |" for name, show in rows.items()]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


_SIZES: Final = (10_000, 1_000_000, 100_000_000)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring docs/capacity.md up to date")
    parser.add_argument("--times", type=int, default=1_000, help="how often each thing is done")
    usual = Use()
    for name in ("active", "sign_ins", "refreshes", "requests", "sessions", "peak"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=float, default=getattr(usual, name))
    parser.add_argument("--events-kept", type=int, default=usual.events_kept, metavar="DAYS")
    given = vars(parser.parse_args())
    is_writing, times = given.pop("write"), given.pop("times")
    prepare_scratch()
    with postgres_url("capacity") as url:
        if url is None:
            parser.error("PostgreSQL is needed")
        costs = asyncio.run(measure(url, times=times))
    told = tables(costs, Use(**given))
    print(told)
    if is_writing:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(_BEGIN)
        after = rest.partition(_END)[2]
        PAGE.write_text(f"{before}{_BEGIN}\n{told}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
