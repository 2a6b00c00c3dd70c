"""`twinlock doctor` finds what is wrong, says how to mend it, and changes nothing."""

import json
import socket
from typing import Any

import pytest
from sqlalchemy import text

from tests.cli.conftest import Cli
from twinlock.db.engine import Database
from twinlock.installation.key_file import add_key_to_file, create_key_file


def examine(cli: Cli, *options: str) -> dict[str, Any]:
    """The worst state of each check."""
    result = cli("doctor", "--json", *options)
    findings = json.loads(result.stdout)["findings"]
    worst = {"ok": 0, "warning": 1, "wrong": 2}
    states: dict[str, str] = {}
    for finding in findings:
        states[finding["check"]] = max(
            finding["state"], states.get(finding["check"], "ok"), key=worst.__getitem__
        )
        assert finding["mend"] or finding["state"] != "warning", finding
    assert result.exit_code == (1 if "wrong" in states.values() else 0)
    return states


def execute(cli: Cli, statement: str) -> None:
    database = Database(cli.settings.database_url)
    database.transaction(lambda tx: tx.execute(text(statement)))
    database.close()


def test_a_fresh_installation_is_well(cli: Cli) -> None:
    states = examine(cli, "--deep")

    assert set(states.values()) == {"ok"}
    assert {"clock", "master keys", "seals", "factors", "marks", "password hash"} <= set(states)


def test_people_read_the_same(cli: Cli) -> None:
    shown = cli.done("doctor")

    assert all(line.startswith("ok ") for line in shown.splitlines())


def test_it_tells_no_secret(sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite_cli.done("init")
    monkeypatch.setenv("TWINLOCK_SMTP_URL", "smtp://user:s3cret-pass@127.0.0.1:1")
    key = sqlite_cli.settings.secret_keys_file.read_text().splitlines()[-1]

    shown = sqlite_cli("doctor").output

    assert key not in shown
    assert "s3cret-pass" not in shown


def test_wrong_settings_are_said_first(sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLOCK_PORT", "none")

    assert examine(sqlite_cli) == {"settings": "wrong"}


def test_where_nothing_is_installed_it_names_the_command(sqlite_cli: Cli) -> None:
    result = sqlite_cli("doctor")

    assert result.exit_code == 1
    assert "twinlock init" in result.stdout
    assert list(sqlite_cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name, check, state",
    [
        (".", "data folder", "warning"),
        ("secret.keys", "key file", "wrong"),
        ("twinlock.sqlite3", "database file", "warning"),
    ],
)
def test_what_others_can_read_is_named(sqlite_cli: Cli, name: str, check: str, state: str) -> None:
    sqlite_cli.done("init")
    (sqlite_cli.folder / "data" / name).chmod(0o755)

    assert examine(sqlite_cli)[check] == state
    assert "chmod" in sqlite_cli("doctor").stdout


def test_other_keys_are_told(cli: Cli) -> None:
    path = cli.settings.secret_keys_file
    path.unlink()
    create_key_file(path)

    assert examine(cli)["database"] == "wrong"


def test_an_unfinished_rotation_is_told(cli: Cli) -> None:
    add_key_to_file(cli.settings.secret_keys_file)

    assert examine(cli)["master keys"] == "warning"
    assert "twinlock secret rotate" in cli("doctor").stdout


def test_a_seal_that_does_not_hold_is_told(cli: Cli) -> None:
    execute(cli, "update subject set generation = generation + 1")

    assert examine(cli)["seals"] == "wrong"


def test_a_signing_key_that_was_changed_is_told(cli: Cli) -> None:
    cli.done("key", "rotate")
    execute(cli, "update signing_key set public_jwk = '{}' where active is null")

    assert examine(cli)["signing keys"] == "wrong"


def test_a_factors_key_that_was_moved_is_told_when_looked_for(cli: Cli) -> None:
    execute(
        cli,
        "insert into totp select '0' || substr(id, 2), id, seal, 6, 30, 'SHA1', 0, created_at "
        "from subject",
    )

    assert "factors" not in examine(cli)
    assert examine(cli, "--deep")["factors"] == "wrong"


def test_a_database_without_an_administrator_is_told(cli: Cli) -> None:
    execute(cli, "update account set roles = ''")

    assert examine(cli)["administrator"] == "warning"


def test_a_mail_server_is_only_connected_to(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_cli.done("init")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("TWINLOCK_SMTP_URL", f"smtp://127.0.0.1:{port}")
        assert examine(sqlite_cli)["mail"] == "ok"
        with listener.accept()[0] as connection:
            assert connection.recv(1) == b""

    assert examine(sqlite_cli)["mail"] == "wrong"


def test_a_local_proxy_that_is_not_believed_is_told(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_cli.done("init")
    monkeypatch.setenv("TWINLOCK_TRUSTED_PROXIES", "10.0.0.0/8")
    assert examine(sqlite_cli)["proxies"] == "warning"

    monkeypatch.setenv("TWINLOCK_TRUSTED_PROXIES", "10.0.0.0/8,127.0.0.1")

    assert "proxies" not in examine(sqlite_cli)


def test_warnings_of_the_settings_are_passed_on(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_cli.done("init")
    monkeypatch.setenv("TWINLOCK_BASE_URL", "https://login.example.com")

    assert examine(sqlite_cli)["settings"] == "warning"
