"""`twinlock secret rotate` at the operator's terminal; the flow has tests of its own."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.cli.conftest import Cli, make_cli
from tests.support.house import token
from twinlock.core.clock import utc_now
from twinlock.installation.key_file import add_key_to_file, read_keys
from twinlock.login_server import create_app

PASSWORD = "correct horse battery staple"


def keys(cli: Cli) -> list[bytes]:
    return read_keys(cli.settings.secret_keys_file, must_be_private=True)


def let_a_minute_pass(cli: Cli) -> None:
    moment = (utc_now() - timedelta(minutes=2)).timestamp()
    os.utime(cli.settings.secret_keys_file, (moment, moment))


def test_a_rotation_adds_a_key_and_reseals_everything(cli: Cli) -> None:
    before = keys(cli)

    done = cli.json("secret", "rotate")

    assert keys(cli)[1:] == before
    assert done["resumed"] is False
    assert done["broken"] == []
    # The installation's two, the policies' row, the signing key, the first account's seal.
    assert done["values"] == 5


def test_each_rotation_adds_another_key(cli: Cli) -> None:
    cli.done("secret", "rotate")
    cli.done("secret", "rotate")

    assert len(keys(cli)) == 3


def test_an_interrupted_rotation_is_resumed_and_adds_no_key(cli: Cli) -> None:
    add_key_to_file(cli.settings.secret_keys_file)  # as far as it got

    done = cli.json("secret", "rotate")

    assert done["resumed"] is True
    assert done["values"] == 5
    assert len(keys(cli)) == 2


def test_old_keys_are_dropped_a_minute_later(cli: Cli) -> None:
    cli.done("secret", "rotate")
    newest = keys(cli)[0]
    let_a_minute_pass(cli)

    assert cli.json("secret", "rotate", "--drop-old", "--yes") == {"dropped": 1}

    assert keys(cli) == [newest]
    cli.done("key", "list")


def test_old_keys_are_not_dropped_while_a_server_may_still_write_with_them(cli: Cli) -> None:
    cli.done("secret", "rotate")

    assert "try again in" in cli.refused("secret", "rotate", "--drop-old", "--yes")
    assert len(keys(cli)) == 2


def test_old_keys_are_not_dropped_before_the_rotation_is_finished(cli: Cli) -> None:
    add_key_to_file(cli.settings.secret_keys_file)
    let_a_minute_pass(cli)

    assert "unfinished" in cli.refused("secret", "rotate", "--drop-old", "--yes")
    assert len(keys(cli)) == 2


def test_dropping_says_which_sessions_end_and_asks(cli: Cli) -> None:
    cli.done("user", "create", "johndoe", "--password-stdin", input=PASSWORD)
    with TestClient(create_app(cli.settings), base_url="http://localhost:8000") as client:
        assert token(client, "johndoe", PASSWORD).status_code == 200
    cli.done("secret", "rotate")
    let_a_minute_pass(cli)

    asked = cli.refused("secret", "rotate", "--drop-old", code=2)

    assert "1 sessions" in asked
    assert len(keys(cli)) == 2


def test_a_single_key_is_kept(cli: Cli) -> None:
    assert cli.json("secret", "rotate", "--drop-old", "--yes") == {"dropped": 0}
    assert len(keys(cli)) == 1


def test_keys_from_the_settings_are_only_the_operators_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(tmp_path, monkeypatch)
    cli.done("init")
    path = cli.settings.secret_keys_file
    old = path.read_text().splitlines()[-1]
    add_key_to_file(path)
    new = path.read_text().splitlines()[-2]

    monkeypatch.setenv("TWINLOCK_SECRET_KEYS", f"{old},{new}")
    assert "TWINLOCK_SECRET_KEYS" in cli.refused("secret", "rotate")
    monkeypatch.setenv("TWINLOCK_SECRET_KEYS", f"{new},{old}")
    assert cli.json("secret", "rotate")["resumed"] is True
    told = cli.refused("secret", "rotate", "--drop-old", "--yes")
    assert "Nothing needs the old keys" in told
    monkeypatch.setenv("TWINLOCK_SECRET_KEYS", new)
    cli.done("key", "list")
