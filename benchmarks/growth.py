"""P6: what a login, a refresh and a check cost among a thousand accounts and among a million."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, Table, text
from sqlalchemy.engine import make_url

from benchmarks import installation, load, signing_in
from benchmarks.installation import PASSWORD, Installation
from benchmarks.load import Connection as Line
from benchmarks.processes import SCRATCH, Server, serve
from benchmarks.results import Result, compared
from twinlock.db.base import metadata
from twinlock.db.engine import Database
from twinlock.db.types import UtcDateTime
from twinlock.migrations import tables as _every_table  # noqa: F401 - declares them

_SMALL = 1_000
_KNOWN = 300
_LOGINS = 60

Job = Callable[[Line], Awaitable[None]]

_FILLED = ("account", "subject", "authenticator", "totp", "recovery_code")
_GROWING = ("event", "session")
_KEPT_NULL = ("disabled_at", "closed_at", "ended_at", "repeat_key", "retired_at")


@dataclass(slots=True)
class House:
    """An installation of some size, served."""

    where: Installation
    server: Server
    cpu: dict[str, list[float]] = field(default_factory=dict)


async def measure(
    *, rounds: int, accounts: int, rows: int, postgres_url: str | None
) -> list[Result]:
    """Compare an installation of a thousand accounts with a grown one, in turns."""
    results = []
    for name, urls in _databases(postgres_url):
        async with AsyncExitStack() as stack:
            small = _house(stack, f"{name}-small", urls[0], _SMALL, 0)
            large = _house(stack, f"{name}-large", urls[1], accounts, rows)
            for number in range(rounds + 1):
                for house in (small, large) if number % 2 else (large, small):
                    for what, job in _work(house).items():
                        cost = await _drive(house.server, job)
                        if number:
                            house.cpu.setdefault(what, []).append(cost)
        size = f"{accounts:,} accounts, {rows:,} events and sessions"
        results += [
            compared(
                "P6",
                f"CPU of {what} on {name}, {size}, of {_SMALL:,}",
                large.cpu[what],
                small.cpu[what],
                at_most=1.02 if rows <= 1_000_000 else 1.10,
            )
            for what in large.cpu
        ]
        results.append(
            compared(
                "P6",
                f"CPU of an unknown name on {name}, {size}, of a known one",
                large.cpu["an unknown name"],
                large.cpu["a wrong password"],
            )
        )
    return results


def _databases(postgres_url: str | None) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    yield "SQLite", (None, None)
    if postgres_url is not None:
        yield "PostgreSQL", (postgres_url, _another(postgres_url))


def _another(url: str) -> str:
    """Make a second empty database on the same server."""
    other = make_url(url).set(database="p6_large")
    with closing(Database(url)) as database, _commanding(database) as one:
        one.execute(text("CREATE DATABASE p6_large"))
    return other.render_as_string(hide_password=False)


def _commanding(database: Database) -> Connection:
    """Return a connection for what no transaction may hold."""
    return database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _house(stack: AsyncExitStack, name: str, url: str | None, accounts: int, rows: int) -> House:
    where = installation.create(
        SCRATCH / f"p6-{name.lower()}",
        accounts=_KNOWN,
        profile=installation.TOY,
        database_url=url,
    )
    folder = SCRATCH / f"p6-{name.lower()}"
    with closing(Database(url or f"sqlite:///{folder / 'twinlock.sqlite3'}")) as database:
        for table in _FILLED:
            database.transaction(_grow, metadata.tables[table], accounts - _KNOWN)
        for table in _GROWING:
            database.transaction(_grow, metadata.tables[table], rows)
        if not database.is_sqlite:
            with _commanding(database) as one:
                one.execute(text("VACUUM ANALYZE"))
    server = serve(
        "twinlock.login_server:create_app",
        name=f"p6-{name.lower()}",
        environment={**where.environment, "TWINLOCK_TRUSTED_PROXIES": "127.0.0.1"},
        is_factory=True,
    )
    return House(where, stack.enter_context(server))


def _grow(connection: Connection, table: Table, rows: int) -> None:
    """Insert rows by one statement, which makes them in the database itself."""
    if rows <= 0:
        return
    is_sqlite = connection.dialect.name == "sqlite"
    values = {column.name: _expression(column, is_sqlite=is_sqlite) for column in table.columns}
    kept = {name: value for name, value in values.items() if value is not None}
    series = (
        f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
        "SELECT i FROM n)"
        if is_sqlite
        else f"generate_series(1, {rows}) AS n(i)"
    )
    columns = ", ".join(f'"{name}"' for name in kept)
    statement = f'INSERT INTO "{table.name}" ({columns}) SELECT {", ".join(kept.values())}'
    connection.execute(text(f"{statement} FROM {series}"))


def _expression(column: Column[Any], *, is_sqlite: bool) -> str | None:
    """Return what the i-th row holds; None: it is left out."""
    digits = "printf('f%031x', i)" if is_sqlite else "'f' || lpad(to_hex(i), 31, '0')"
    if column.name in _KEPT_NULL:
        return None
    if column.nullable and not column.name.startswith(("email", "password_hash", "subject_id")):
        return None
    match column.type:
        case UtcDateTime():
            return _moment(is_sqlite=is_sqlite, later=column.name in ("expires_at", "idle_until"))
        case Boolean():
            return "0" if is_sqlite else "false"
        case LargeBinary():
            return f"CAST({digits} AS BLOB)" if is_sqlite else f"convert_to({digits}, 'UTF8')"
        case Integer():
            return "1"
        case _ if column.name == "id" or column.name.endswith("_id"):
            return digits
        case _ if column.name == "roles" or column.name in ("scope", "details"):
            return "''"
        case _ if column.name in ("acr", "amr", "method", "algorithm", "type", "label"):
            return "'totp'"
        case _:
            return f"'u' || {digits}"


def _moment(*, is_sqlite: bool, later: bool) -> str:
    if is_sqlite:
        step = "+30 days" if later else "-1 days"
        return f"strftime('%Y-%m-%d %H:%M:%f', 'now', '{step}') || '000'"
    return "now() + interval '30 days'" if later else "now() - interval '1 day'"


def _work(house: House) -> dict[str, Job]:
    people, numbers = house.where.people, iter(range(10**9))

    async def sign_in(line: Line) -> None:
        await signing_in.at_token(line, people)

    async def wrong(line: Line, name: str) -> None:
        form = {"grant_type": "password", "username": name, "password": PASSWORD + "x"}
        number = next(numbers)  # each from a network of its own, or all would be throttled
        address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        headers = {"X-Forwarded-For": address}
        reply = await line.request(load.post_form("/token", form, headers=headers))
        assert reply.status == 400, reply

    async def unknown(line: Line) -> None:
        await wrong(line, f"nobody{next(numbers)}")

    async def known(line: Line) -> None:
        await wrong(line, people.all[next(numbers) % _KNOWN].username)

    async def mixed(line: Line) -> None:
        await wrong(line, people.all[-1 - next(numbers) % _KNOWN].username.title())

    return {
        "a login": sign_in,
        "an unknown name": unknown,
        "a wrong password": known,
        "a name in another case": mixed,
    }


async def _drive(server: Server, job: Job) -> float:
    def jobs() -> Iterator[Job]:
        for _ in range(_LOGINS):
            yield job

    async with load.connections(server, 4) as opened:
        span = await load.run_each(server, opened, jobs())
    return span.cpu_microseconds
