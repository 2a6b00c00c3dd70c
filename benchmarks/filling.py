"""Millions of rows in minutes, as years of use would have left them behind.

The database makes the rows itself, one statement for a table. Keys lie spread among those that
are there already, references point anywhere, and the indexes that nothing rests on are built after
the rows, or each row would have to find its page in a file of gigabytes.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Table
from sqlalchemy.engine import make_url

from twinlock.db.base import metadata
from twinlock.migrations import tables as _every_table  # noqa: F401 - declares them

Run = Callable[[str], list[Any]]
"""Runs a statement and returns the rows that it finds."""

_DAY: Final = 86_400
_FIRST_NAMES: Final = (
    *("anna", "ben", "carla", "david", "elena", "felix", "greta", "hugo", "ines", "jonas"),
    *("klara", "leon", "maria", "nils", "olga", "paul", "rosa", "simon", "tara", "ulrich"),
    *("vera", "wanda", "xenia", "yusuf", "zoe", "adam", "bella", "carl", "dora", "emil"),
    *("frida", "georg"),
)
_LAST_NAMES: Final = (
    *("adler", "bauer", "conrad", "dietz", "ebert", "fischer", "graf", "hahn", "iser", "jung"),
    *("koch", "lang", "maier", "neumann", "otto", "peters", "quandt", "richter", "schmidt"),
    *("thoma", "ulm", "vogel", "weber", "xander", "york", "ziegler", "arnold", "becker", "claus"),
    *("daum", "esser", "fuchs"),
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows of this kind there are; of accounts, those beside the ones that can sign in."""

    accounts: int
    events: int = 0
    sessions: int = 0


class _Sql:
    """What the two databases call differently; `i` is the number of a row, from 0."""

    def __init__(self, *, is_sqlite: bool) -> None:
        self.is_sqlite = is_sqlite

    def hexadecimal(self, number: str, digits: int) -> str:
        if self.is_sqlite:
            return f"printf('%0{digits}x', {number})"
        return f"lpad(to_hex(({number})::bigint), {digits}, '0')"

    def somewhere(self, of: int, salt: int = 0) -> str:
        """Return one of the numbers below *of*, another for each row, in no order."""
        i = "i" if self.is_sqlite else "i::bigint"
        return f"((({i} + {salt}) * 2654435761) % 4294967296 * {of} / 4294967296)"

    def spread(self, number: str, rows: int) -> str:
        """Return the id of a row: those of a table are in order, and all over their range."""
        step = 2**32 // max(rows, 1)
        number = number if self.is_sqlite else f"({number})::bigint"
        return f"{self.hexadecimal(f'{number} * {step}', 8)} || {self.hexadecimal(number, 24)}"

    def blob(self, words: str) -> str:
        return f"CAST({words} AS BLOB)" if self.is_sqlite else f"convert_to({words}, 'UTF8')"

    def ago(self, seconds: str) -> str:
        if self.is_sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%f000', julianday('now') - ({seconds}) / 86400.0)"
        return f"now() - ({seconds}) * interval '1 second'"

    def event_id(self, seconds: str) -> str:
        """Return a time-ordered id, as events have."""
        now = "strftime('%s', 'now')" if self.is_sqlite else "extract(epoch from now())::bigint"
        milliseconds = f"CAST(({now} - ({seconds})) * 1000 AS BIGINT)"
        return f"{self.hexadecimal(milliseconds, 12)} || '7' || {self.hexadecimal('i', 19)}"

    def series(self, rows: int) -> str:
        if self.is_sqlite:
            return (
                "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n "
                f"WHERE i + 1 < {rows}) SELECT i FROM n) AS n"
            )
        return f"generate_series(0, {rows - 1}) AS n(i)"

    def indexes_of(self, table: Table) -> str:
        """Return what asks for the table's indexes, each with the statement that made it."""
        if self.is_sqlite:
            return f"SELECT name, sql FROM sqlite_master WHERE tbl_name = '{table.name}'"
        return f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename = '{table.name}'"

    @property
    def no(self) -> str:
        return "0" if self.is_sqlite else "false"


def fill(url: str, present: Sizes, wanted: Sizes) -> None:
    """Write the rows that are missing."""
    if make_url(url).get_backend_name() == "sqlite":
        _fill_sqlite(Path(make_url(url).database or ""), present, wanted)
    else:
        _fill_postgres(url, present, wanted)


def _fill_sqlite(path: Path, present: Sizes, wanted: Sizes) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (
        "journal_mode=DELETE",
        "journal_mode=OFF",
        "synchronous=OFF",
        "cache_size=-400000",
    ):
        connection.execute(f"PRAGMA {pragma}")

    def run(statement: str) -> list[Any]:
        return connection.execute(statement).fetchall()

    _write(run, _Sql(is_sqlite=True), present, wanted)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def _fill_postgres(url: str, present: Sizes, wanted: Sizes) -> None:
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # references are right
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("SET synchronous_commit = off")

        def run(statement: str) -> list[Any]:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

        _write(run, _Sql(is_sqlite=False), present, wanted)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _write(run: Run, sql: _Sql, present: Sizes, wanted: Sizes) -> None:
    people = wanted.accounts - present.accounts
    for name, columns in _of_accounts(sql, people).items() if people > 0 else ():
        _insert(run, sql, metadata.tables[name], columns, people)
    for name, rows, columns in (
        ("event", wanted.events - present.events, _of_events),
        ("session", wanted.sessions - present.sessions, _of_sessions),
    ):
        if rows > 0:
            _insert(run, sql, metadata.tables[name], columns(sql, rows, wanted.accounts), rows)


def _insert(run: Run, sql: _Sql, table: Table, columns: Mapping[str, str], rows: int) -> None:
    made_by = {name: statement for name, statement in run(sql.indexes_of(table)) if statement}
    later = [index.name for index in table.indexes if not index.unique]
    for name in later:
        run(f'DROP INDEX "{name}"')
    names = ", ".join(f'"{name}"' for name in columns)
    run(
        f'INSERT INTO "{table.name}" ({names}) SELECT {", ".join(columns.values())} '
        f"FROM {sql.series(rows)}"
    )
    for name in later:
        run(made_by[name])


def _of_accounts(sql: _Sql, rows: int) -> dict[str, dict[str, str]]:
    own = sql.spread("i", rows)
    created = sql.ago(f"({rows} - i) * {_DAY * 700 / rows:.6f}")
    first = _one_of(sql, _FIRST_NAMES, sql.somewhere(len(_FIRST_NAMES)))
    last = _one_of(sql, _LAST_NAMES, sql.somewhere(len(_LAST_NAMES), salt=7))
    name, username = f"{first} || ' ' || {last}", f"'user' || {sql.hexadecimal('i', 8)}"
    seal = sql.blob(own)
    used = {"subject_id": own, "created_at": created}
    return {
        "account": {
            "id": own,
            "username": username,
            "username_key": username,
            "email": f"{username} || '@example.org'",
            "email_key": f"{username} || '@example.org'",
            "email_verified_at": created,
            "full_name": name,
            "name_key": name,
            "roles": "''",
            "password_hash": "(SELECT password_hash FROM account LIMIT 1)",
            "password_scheme": "(SELECT password_scheme FROM account LIMIT 1)",
            "password_changed_at": created,
            "created_at": created,
        },
        "subject": {
            "id": own,
            "host_id": own,
            "generation": "0",
            "seal": seal,
            "awaits_enrollment": sql.no,
            "signed_in_at": sql.ago(sql.somewhere(30 * _DAY)),
            "created_at": created,
        },
        "authenticator": {
            "id": own,
            "method": "'totp'",
            "label": "'phone'",
            "code_digits": "6",
            **used,
        },
        "totp": {
            "authenticator_id": own,
            "key": seal,
            "digits": "6",
            "period_seconds": "30",
            "algorithm": "'SHA1'",
            "last_step": "0",
            **used,
        },
        "recovery_code": {"digest": seal, **used},
    }


def _of_events(sql: _Sql, rows: int, accounts: int) -> dict[str, str]:
    """Return events of a year; of ten, five sign-ins, three first steps, two denials."""
    before = f"({rows} - i) * {_DAY * 365 / rows:.6f}"
    kind = (
        "CASE WHEN i % 10 < 5 THEN 'login.succeeded' WHEN i % 10 < 8 THEN "
        "'login.password_verified' WHEN i % 100000 = 8 THEN 'refresh.reused' "
        "ELSE 'login.denied' END"
    )
    return {
        "id": sql.event_id(before),
        "type": kind,
        "subject_id": sql.spread(sql.somewhere(accounts), accounts),
        "session_id": sql.spread(sql.somewhere(rows, salt=3), rows),
        "method": "'password'",
        "ip": f"'192.0.2.' || {sql.somewhere(255, salt=5)}",
        "user_agent": "'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'",
        "details": """'{"acr": "aal2", "amr": ["pwd", "otp"]}'""",
        "count": "1",
        "at": sql.ago(before),
    }


def _of_sessions(sql: _Sql, rows: int, accounts: int) -> dict[str, str]:
    """Return living sessions, begun within the last month; half of them have a cookie."""
    begun = sql.ago(sql.somewhere(29 * _DAY, salt=11))
    own, never = sql.spread("i", rows), sql.ago(str(-60 * _DAY))
    return {
        "id": own,
        "subject_id": sql.spread(sql.somewhere(accounts), accounts),
        "generation": "0",
        "seal": sql.blob(own),
        "cookie_digest": f"CASE WHEN i % 2 = 0 THEN {sql.blob(own)} END",
        "refresh_counter": "0",
        "rotated_at": begun,
        "acr": "'aal2'",
        "amr": "'pwd otp'",
        "auth_time": begun,
        "scope": "''",
        "ip": f"'192.0.2.' || {sql.somewhere(255, salt=5)}",
        "user_agent": "'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'",
        "last_seen_at": begun,
        "idle_until": never,
        "expires_at": never,
        "changed_at": begun,
        "created_at": begun,
    }


def _one_of(sql: _Sql, words: Sequence[str], number: str) -> str:
    """Return an expression that is the word of that number."""
    width = max(map(len, words))
    line = "".join(word.ljust(width) for word in words)
    start = f"1 + {width} * {number}"
    start = start if sql.is_sqlite else f"({start})::int"
    return f"trim(substr('{line}', {start}, {width}))"
