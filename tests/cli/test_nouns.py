"""`twinlock config`, `db`, `key` and `openapi`."""

import json

import pytest
from sqlalchemy import text

from tests.cli.conftest import Cli
from twinlock.audit.events import EventType
from twinlock.config.settings import Settings
from twinlock.db.engine import Database
from twinlock.login_server import create_app
from twinlock.migrations.revision import HEAD
from twinlock.migrations.run import downgrade

SECRET = "s3cret-and-more"


def execute(cli: Cli, statement: str) -> None:
    """Write as somebody who has got at the database would."""
    database = Database(cli.settings.database_url)
    database.transaction(lambda tx: tx.execute(text(statement)))
    database.close()


def events(cli: Cli) -> list[str]:
    database = Database(cli.settings.database_url)
    try:
        return database.reading(
            lambda db: list(db.execute(text("select type from event")).scalars())
        )
    finally:
        database.close()


# --- config -----------------------------------------------------------------------------------


def test_every_setting_is_shown_with_its_source(sqlite_cli: Cli) -> None:
    shown = sqlite_cli.json("config", "show")

    assert len(shown) == len(Settings.model_fields)
    assert shown["TWINLOCK_ENVIRONMENT"] == {"value": "development", "source": "the environment"}
    assert shown["TWINLOCK_PORT"] == {"value": 8000, "source": "default"}


def test_secrets_are_masked_wherever_they_are_set(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINLOCK_SMTP_URL", f"smtps://user:{SECRET}@mail.example.com")
    monkeypatch.setenv("TWINLOCK_DATABASE_URL", f"postgresql://u:{SECRET}@db.example.com/x")

    assert SECRET not in sqlite_cli.done("config", "show")
    assert SECRET not in sqlite_cli.done("config", "show", "--json")
    assert "db.example.com" in sqlite_cli.done("config", "show")


def test_settings_are_shown_where_nothing_is_installed(sqlite_cli: Cli) -> None:
    sqlite_cli.done("config", "show")

    assert list(sqlite_cli.folder.iterdir()) == []


# --- db ---------------------------------------------------------------------------------------


def test_a_fresh_database_is_what_the_program_declares(cli: Cli) -> None:
    assert cli.json("db", "check") == {"damage": [], "differences": []}


@pytest.mark.parametrize(
    "statement, difference",
    [
        ("alter table account add column spy text", "remove column account.spy"),
        ("drop index ix_event_at", "add index event.ix_event_at"),
        ("create table spy (id integer)", "remove table spy"),
    ],
)
def test_a_table_changed_by_hand_is_named(cli: Cli, statement: str, difference: str) -> None:
    execute(cli, statement)

    result = cli("db", "check", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["differences"] == [difference]


def test_a_damaged_file_is_told(sqlite_cli: Cli) -> None:
    sqlite_cli.done("init")
    file = sqlite_cli.folder / "data" / "twinlock.sqlite3"
    page = 4096
    with file.open("r+b") as opened:
        opened.seek(12 * page)
        opened.write(b"\xff" * page)

    result = sqlite_cli("db", "check")

    assert result.exit_code == 1
    assert "damaged: " in result.stdout or "does not answer" in result.stderr


def test_an_older_database_is_brought_up_to_date(cli: Cli) -> None:
    database = Database(cli.settings.database_url)
    downgrade(database, to="base")
    database.close()

    assert "twinlock init" in cli.refused("db", "check")
    assert cli.json("db", "upgrade") == {"from": None, "to": HEAD}
    assert cli.json("db", "upgrade") == {"from": HEAD, "to": HEAD}
    cli.done("db", "check")


def test_after_a_restore_nobody_stays_signed_in(cli: Cli) -> None:
    ended = cli.json("db", "restored")

    everything = ("sessions", "pending", "devices", "mails", "recovery_codes")
    assert ended == dict.fromkeys((*everything, "factor_resets", "email_changes"), 0)
    assert EventType.DATABASE_RESTORED in events(cli)


# --- key --------------------------------------------------------------------------------------


def test_a_rotated_key_signs_and_the_old_one_verifies(cli: Cli) -> None:
    (first,) = cli.json("key", "list")["keys"]
    second = cli.json("key", "rotate")["kid"]

    keys = cli.json("key", "list")["keys"]

    assert [(key["kid"], key["state"]) for key in keys] == [
        (second, "signs"),
        (first["kid"], "verifies"),
    ]
    assert second in cli.done("key", "list")


def test_an_old_key_is_retired_once(cli: Cli) -> None:
    (first,) = cli.json("key", "list")["keys"]
    cli.done("key", "rotate")

    assert cli.json("key", "retire", first["kid"], "--yes") == {"kid": first["kid"]}

    assert [key["state"] for key in cli.json("key", "list")["keys"]] == ["signs", "retired"]
    assert "key list" in cli.refused("key", "retire", first["kid"], "--yes")


def test_the_key_that_signs_is_not_retired(cli: Cli) -> None:
    (first,) = cli.json("key", "list")["keys"]

    assert "key rotate" in cli.refused("key", "retire", first["kid"], "--yes")


def test_no_private_key_is_ever_listed(cli: Cli) -> None:
    (first,) = cli.json("key", "list")["keys"]

    assert set(first) == {"kid", "algorithm", "state", "created_at", "signed_until", "retired_at"}


# --- openapi ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["openapi"], ["openapi", "--json"]])
def test_the_document_is_the_one_that_is_served(sqlite_cli: Cli, arguments: list[str]) -> None:
    document = json.loads(sqlite_cli.done(*arguments))

    assert document == json.loads(json.dumps(create_app(sqlite_cli.settings).openapi()))
    assert "/token" in document["paths"]
    assert list(sqlite_cli.folder.iterdir()) == []
