"""``twinlock audit`` shows, exports and verifies what happened."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from tests.cli.conftest import Cli
from twinlock.audit.events import Caller, Event, EventType
from twinlock.audit.store import record
from twinlock.composition import build_parts, close_parts
from twinlock.core.clock import utc_now
from twinlock.core.proof import SubjectId
from twinlock.db.engine import Database
from twinlock.flows import chaining


@pytest.fixture
def johndoe(cli: Cli) -> Cli:
    """An installation in which some things happened to John."""
    cli.done("user", "create", "johndoe", "--no-password")
    cli.done("user", "disable", "johndoe")
    cli.done("user", "enable", "johndoe")
    return cli


def write(cli: Cli, *events: Event) -> None:
    """Write events as a flow does."""

    def work(tx: Connection) -> None:
        for event in events:
            record(tx, event)

    database = Database(cli.settings.database_url)
    database.transaction(work)
    database.close()


def chain(cli: Cli) -> None:
    """Do what a running server does every few minutes, an hour from now."""
    parts = build_parts(cli.settings)
    chaining.extend(parts, now=utc_now() + timedelta(hours=1))
    close_parts(parts)


def tamper(cli: Cli, statement: str) -> None:
    """Change the database without the keys."""
    database = Database(cli.settings.database_url)
    database.transaction(lambda tx: tx.execute(text(statement)))
    database.close()


def types(cli: Cli, *options: str) -> list[str]:
    return [one["type"] for one in cli.json("audit", "list", *options)["events"]]


def test_events_are_listed_the_newest_first(johndoe: Cli) -> None:
    assert types(johndoe, "--user", "johndoe") == [
        "account.enabled",
        "account.disabled",
        "account.created",
    ]
    shown = johndoe.done("audit", "list")
    assert shown.index("account.enabled") < shown.index("account.disabled")
    assert "johndoe" in shown


def test_events_are_found_by_their_type(johndoe: Cli) -> None:
    assert types(johndoe, "--type", "account.disabled") == ["account.disabled"]
    assert types(johndoe, "--type", "account.disabled", "--user", "admin") == []


def test_events_are_listed_page_by_page(johndoe: Cli) -> None:
    everything = types(johndoe)
    found: list[str] = []
    more: list[str] = []
    while True:
        page = johndoe.json("audit", "list", "--limit", "2", *more)
        found += [one["type"] for one in page["events"]]
        if page["next_cursor"] is None:
            break
        more = ["--cursor", page["next_cursor"]]

    assert found == everything


def test_events_are_found_by_their_age(cli: Cli) -> None:
    old = utc_now() - timedelta(days=3)
    write(cli, Event(EventType.KEY_ROTATED, old, Caller(actor="cli:somebody")))

    found = {
        since: "key.rotated" in types(cli, "--since", since)
        for since in (
            "7d",
            "73h",
            "71h",
            "1000m",
            (old - timedelta(minutes=1)).isoformat(),
            (old + timedelta(minutes=1)).isoformat(),
            (old - timedelta(days=1)).date().isoformat(),
            (old + timedelta(days=1)).date().isoformat(),
        )
    }

    assert list(found.values()) == [True, True, False, False, True, False, True, False]


def test_the_events_of_a_deleted_account_are_found_by_its_id(johndoe: Cli) -> None:
    subject = johndoe.json("user", "delete", "johndoe", "--yes")["id"]

    found = types(johndoe, "--user", subject)

    assert found[0] == "account.deleted"
    assert "no account" in johndoe.refused("audit", "list", "--user", "johndoe")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--since", "yesterday"],
        ["list", "--since", "xd"],
        ["list", "--since", "99999999999d"],
        ["list", "--type", "nonsense"],
        ["list", "--cursor", "x"],
        ["list", "--limit", "0"],
        ["export", "--format", "xml"],
        ["export", "--since", "d"],
        ["verify", "--head", "1:abc"],
        ["verify", "--head", "0:" + "a" * 64],
    ],
)
def test_wrong_usage_is_told(sqlite_cli: Cli, arguments: list[str]) -> None:
    sqlite_cli.refused("audit", *arguments, code=2)


def test_every_event_is_exported_in_the_order_in_which_it_happened(johndoe: Cli) -> None:
    everything = types(johndoe)

    lines = [json.loads(line) for line in johndoe.done("audit", "export").splitlines()]
    rows = list(csv.DictReader(io.StringIO(johndoe.done("audit", "export", "--format", "csv"))))

    assert [one["type"] for one in lines] == everything[::-1]
    assert [one["type"] for one in rows] == everything[::-1]
    assert [one["at"] for one in rows] == [one["at"] for one in lines]
    assert [json.loads(one["details"]) for one in rows] == [one["details"] for one in lines]


def test_many_events_are_exported_each_once(sqlite_cli: Cli) -> None:
    """More than one read of the export takes."""
    sqlite_cli.done("init")
    subject = SubjectId("a" * 32)
    events = [
        Event(EventType.LOGIN_DENIED, utc_now(), Caller(ip=f"192.0.2.{n % 256}"), subject=subject)
        for n in range(1100)
    ]
    write(sqlite_cli, *events)

    lines = [json.loads(line) for line in sqlite_cli.done("audit", "export").splitlines()]

    mine = [one["id"] for one in lines if one["subject"] == subject]
    assert len(set(mine)) == len(mine) == 1100
    assert mine == sorted(mine)


def test_a_spreadsheet_takes_no_cell_for_a_formula(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")
    caller = Caller(user_agent='=HYPERLINK("http://evil.example")')
    write(sqlite_cli, Event(EventType.LOGIN_DENIED, utc_now(), caller))

    shown = sqlite_cli.done("audit", "export", "--format", "csv")

    cells = [cell for row in csv.reader(io.StringIO(shown)) for cell in row]
    assert "'" + (caller.user_agent or "") in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_an_export_cannot_steer_the_terminal(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")
    caller = Caller(user_agent="evil\x1b[2J\x9b2J\r\n", ip="\x1b[2J")
    write(sqlite_cli, Event(EventType.LOGIN_DENIED, utc_now(), caller))

    shown = [
        sqlite_cli.done("audit", *arguments)
        for arguments in (["export"], ["export", "--format", "csv"], ["list"], ["list", "--json"])
    ]

    assert all("\\x1b" in one or "\\u001b" in one for one in shown)
    assert all(one.replace("\n", "").isprintable() for one in shown)


def test_an_untouched_log_verifies(johndoe: Cli) -> None:
    unchained = johndoe.json("audit", "verify")["unchained_events"]

    chain(johndoe)

    found = johndoe.json("audit", "verify")
    assert (found["whole_events"], found["damaged"], found["unchained_events"]) == (
        unchained,
        [],
        0,
    )


def test_a_changed_event_is_found(johndoe: Cli) -> None:
    chain(johndoe)

    tamper(johndoe, "UPDATE event SET actor = NULL WHERE type = 'account.disabled'")

    result = johndoe("audit", "verify")
    assert result.exit_code == 1
    assert "batch 1" in result.stdout
    assert "was" in result.stdout or "changed" in result.stdout
    assert json.loads(johndoe("audit", "verify", "--json").stdout)["damaged"][0]["damage"] == (
        "events_changed"
    )


@pytest.mark.parametrize("details", ["zz", "", "[]", "null", '"a"', "[" * 100_000])
def test_a_changed_event_keeps_nobody_from_reading_the_others(johndoe: Cli, details: str) -> None:
    """Or who changes one row has closed the log."""
    chain(johndoe)
    exported = len(johndoe("audit", "export").stdout.splitlines())

    tamper(johndoe, f"UPDATE event SET details = '{details}' WHERE type = 'account.disabled'")

    assert len(johndoe("audit", "export").stdout.splitlines()) == exported
    (changed,) = johndoe.json("audit", "list", "--type", "account.disabled")["events"]
    assert changed["details"] == {"unreadable": details}
    assert johndoe("audit", "verify").exit_code == 1


def test_a_log_that_was_cut_off_is_found_by_the_head_that_was_noted(johndoe: Cli) -> None:
    chain(johndoe)
    head = johndoe.json("audit", "verify")["head"]
    same = johndoe("audit", "verify", "--head", head)

    tamper(johndoe, "DELETE FROM audit_chain")
    tamper(johndoe, "DELETE FROM event")

    assert same.exit_code == 0
    assert johndoe("audit", "verify").exit_code == 0
    told = johndoe("audit", "verify", "--head", head)
    assert told.exit_code == 1
    assert "not in the chain as it was noted" in told.stdout


def test_the_chain_outlives_the_rotation_of_the_master_keys(johndoe: Cli) -> None:
    chain(johndoe)

    johndoe.done("secret", "rotate")
    newest = Path(johndoe.settings.secret_keys_file).read_text("utf-8")

    assert newest
    assert johndoe.json("audit", "verify")["damaged"] == []
