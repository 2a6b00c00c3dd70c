"""Every statement of every ``store.py``, full tables, and how a database would run it on them."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Connection,
    Delete,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Table,
    Update,
    bindparam,
    insert,
    literal_column,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql.visitors import replacement_traverse

import twinlock
from twinlock.db.base import metadata
from twinlock.db.types import UtcDateTime
from twinlock.migrations import tables as _every_table  # noqa: F401 - declares them

SMALL: Final = frozenset({"signing_key", "installation", "policy"})
"""Tables that stay small, however many accounts there are."""

FEW: Final = frozenset({"ix_account_admins", "ix_outbox_due_at"})
"""Partial indexes of few rows, which may be read whole: who is an admin, which mail waits."""

WHOLE: Final = {
    "accounts.entries.store._JOINED": "what others narrow down",
    "accounts.store._ACCOUNT": "what others narrow down",
    "mail.store._SHOWN": "what others narrow down",
    "accounts.entries.store.ANY_ENTRY": "the first row, whichever it is",
    "accounts.entries.store.COUNT_ENTRIES": "an operator's count, of a host's own users",
    "accounts.search.store.COUNT_CREATED": "stops at a number that the console sets",
    "accounts.email_changes.store.DELETE_EVERY_STAGED": "after a backup was restored: all of them",
    "accounts.resets.store.DELETE_EVERY_RESET": "after a backup was restored: all of them",
    "accounts.store.COUNT_SCHEMES": "once in ten minutes, over an index that holds nothing else",
    "devices.store.DELETE_EVERY_DEVICE": "after a backup was restored: all of them",
    "factors.authenticators.store.COUNT_HOLDERS": "stops at a number that the console sets",
    "factors.authenticators.store.COUNT_HOLDERS_OF": "stops at a number that the console sets",
    "factors.recovery_codes.store.DELETE_ALL_CODES": "after a lost key: all of them",
    "pending.store.DELETE_EVERY_PENDING": "after a backup was restored: all of them",
    "sessions.store.END_EVERY_SESSION": "after a backup was restored: all of them",
    "sessions.store.MARK_EVERY_CHANGED": "after a changed policy: all of them",
}
"""Statements that mean a whole table; no request of a user runs one."""

_BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
_OF_ONE_SUBJECT: Final = 4


@dataclass(frozen=True)
class Statement:
    """A statement, by the name that its module gives it."""

    name: str
    what: Any


def statements() -> list[Statement]:
    """Return every statement that looks for rows; an insert looks for none."""
    return sorted(
        (
            Statement(f"{module.removeprefix('twinlock.')}.{name}", what)
            for module in _stores()
            for name, what in _named(vars(importlib.import_module(module)))
            if isinstance(what, Select | Update | Delete)
        ),
        key=lambda one: one.name,
    )


def _stores() -> Iterator[str]:
    for found in pkgutil.walk_packages(twinlock.__path__, "twinlock."):
        if found.name.endswith(".store"):
            yield found.name


def _named(names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in names.items():
        if name.isupper() and isinstance(value, dict):
            yield from ((f"{name}[{key}]", one) for key, one in value.items())
        elif name.isupper():
            yield name, value


def fill(connection: Connection, rows: int) -> None:
    """Write *rows* rows into every table that grows."""
    for table in metadata.sorted_tables:
        if table.name not in SMALL:
            connection.execute(insert(table), [_row(table, number) for number in range(rows)])


def _row(table: Table, number: int) -> dict[str, Any]:
    keys = [list(table.primary_key.columns)]
    keys += [list(index.columns) for index in table.indexes if index.unique]
    unique = {column.name for column in table.columns if column.unique}
    unique |= {key[0].name for key in keys if len(key) == 1}
    return {
        column.name: _value(
            column, number if column.name in unique else number // _OF_ONE_SUBJECT, number
        )
        for column in table.columns
    }


def _value(column: Any, group: int, number: int) -> Any:
    """Return what a row may well hold: some in four where nothing must stand, one in 997 a role."""
    if column.name == "roles":
        return "admin" if number % 997 == 0 else ""
    if column.nullable and not column.unique and number % 4:
        return None
    match column.type:
        case UtcDateTime():
            return _BEGINNING + timedelta(seconds=number)
        case Boolean():
            return False
        case SmallInteger():
            return number % 5
        case Integer() | BigInteger():
            return number if column.primary_key else number % 5
        case LargeBinary():
            return number.to_bytes(32, "big")
        case _ if column.name == "host_id":
            return f"{number:032x}"
        case _ if column.name.endswith("_key"):
            return f"{number:08x}"
        case _ if column.name.endswith("_id") or column.name == "id":
            return f"{group:032x}"
        case _:
            return f"{number:08x}" if column.unique or column.primary_key else f"{number % 20}"


def scans(connection: Connection, statement: Statement) -> list[str]:
    """Return where the database would read a whole table, or a whole index, for *statement*."""
    if connection.dialect.name == "sqlite":
        return list(_sqlite_scans(connection, statement))
    return list(_postgres_scans(connection, statement))


def _sqlite_scans(connection: Connection, statement: Statement) -> Iterator[str]:
    compiled = _settled(statement.what).compile(
        dialect=sqlite.dialect(paramstyle="named"), compile_kwargs={"render_postcompile": True}
    )
    values = dict.fromkeys(compiled.params)
    driver = connection.connection.driver_connection
    assert driver is not None
    plan = driver.execute(f"EXPLAIN QUERY PLAN {compiled}", values).fetchall()
    is_limited = "LIMIT" in str(compiled) and "ORDER BY" in str(compiled)
    for *_, step in plan:
        found = re.match(r"SCAN (\w+)(.*)", step)
        if found is None or found[1] in SMALL or found[1] not in metadata.tables:
            continue
        if any(step.endswith(f" USING INDEX {name}") for name in FEW):
            continue
        # A page in the order of an index, or of the row's number, is read up to its limit.
        if not (is_limited and not _sorts(plan)):
            yield step


def _sorts(plan: list[Any]) -> bool:
    return any("USE TEMP B-TREE" in step[-1] for step in plan)


def expected_rows(connection: Connection, statement: Statement) -> int:
    """Return how many rows PostgreSQL expects to find."""
    return int(_postgres_plan(connection, statement)["Plan Rows"])


def _postgres_scans(connection: Connection, statement: Statement) -> Iterator[str]:
    yield from _whole(_postgres_plan(connection, statement), is_limited=False)


def _postgres_plan(connection: Connection, statement: Statement) -> dict[str, Any]:
    dialect: Dialect = psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    compiled = _settled(statement.what).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    count = len(compiled.positiontup or ())
    for setting in ("plan_cache_mode = force_generic_plan", "random_page_cost = 1.1"):
        connection.execute(text(f"SET {setting}"))  # for values of any kind, on an SSD
    driver = connection.connection.driver_connection
    assert driver is not None
    nulls = f"({', '.join(['NULL'] * count)})" if count else ""
    driver.execute(f"PREPARE planned AS {compiled}")
    try:
        (plan,) = driver.execute(f"EXPLAIN (FORMAT JSON) EXECUTE planned{nulls}").fetchone()
    finally:
        driver.execute("DEALLOCATE planned")
    parsed = plan if isinstance(plan, list) else json.loads(plan)
    whole: dict[str, Any] = parsed[0]["Plan"]
    return whole


def _settled(what: Any) -> Any:
    """Write out what decides a plan.

    How many rows are asked for: unknown, a server takes it for a tenth of them all. How many
    values a list has: some.
    """

    def settle(element: Any, **_: Any) -> Any:
        if not isinstance(element, BindParameter):
            return None
        if element.key == "limit":
            return literal_column("10")
        if element.expanding:
            is_bytes = isinstance(element.type, LargeBinary)
            some = [bytes([number]) if is_bytes else f"{number:032x}" for number in range(3)]
            return bindparam(element.key, some, type_=element.type, expanding=True)
        return bindparam(element.key, None, type_=element.type) if element.required else None

    return replacement_traverse(what, {}, settle)


def _whole(node: dict[str, Any], *, is_limited: bool) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name")
    is_limited = is_limited or kind == "Limit"
    if kind == "Sort" or kind == "Aggregate":
        is_limited = False
    reads_all = kind == "Seq Scan" or (
        kind in ("Index Scan", "Index Only Scan") and "Index Cond" not in node and not is_limited
    )
    if reads_all and table not in SMALL and node.get("Index Name") not in FEW:
        yield f"{kind} on {table}"
    for part in node.get("Plans", ()):
        yield from _whole(part, is_limited=is_limited)
