"""`twinlock init` can be repeated, interrupted and raced, and never loses what is there."""

import json
import os
import stat
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from tests.cli.conftest import Cli, make_cli
from tests.cli.processes import END_SECONDS, started
from tests.support.clock import MovableClock
from tests.support.house import token
from twinlock.cli.init import FIRST_PASSWORD_LIFETIME
from twinlock.core.clock import utc_now
from twinlock.core.secrets import to_base64url
from twinlock.db.engine import Database
from twinlock.installation.key_file import create_key_file
from twinlock.login_server import create_app
from twinlock.migrations.run import upgrade

RACERS = 4


def count(cli: Cli, table: str) -> int:
    database = Database(cli.settings.database_url)
    try:
        return database.reading(lambda db: number(db, f"select count(*) from {table}"))
    finally:
        database.close()


def number(db: Connection, query: str) -> int:
    return int(db.execute(text(query)).scalar_one())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_makes_everything_and_tells_the_password_once(bare_cli: Cli) -> None:
    done = bare_cli.json("init")

    assert done["key_file_created"] is True
    assert done["installation_created"] is True
    assert done["has_admin"] is True
    assert done["admin"]["username"] == "admin"
    assert len(done["admin"]["password"]) >= 20
    assert [count(bare_cli, table) for table in ("installation", "signing_key", "account")] == [
        1,
        1,
        1,
    ]


def test_what_it_makes_is_its_owners_alone(sqlite_cli: Cli) -> None:
    before = os.umask(0)
    try:
        sqlite_cli.done("init")
    finally:
        os.umask(before)

    data = sqlite_cli.folder / "data"
    assert mode(data) == 0o700
    assert {path.name: mode(path) for path in data.iterdir() if mode(path) & 0o077} == {}


def test_again_it_leaves_all_that_is_there(bare_cli: Cli) -> None:
    bare_cli.done("init")
    key = bare_cli.settings.secret_keys_file.read_bytes()

    again = bare_cli.json("init")

    assert again["key_file_created"] is False
    assert again["installation_created"] is False
    assert again["admin"] is None
    assert bare_cli.settings.secret_keys_file.read_bytes() == key
    assert [count(bare_cli, table) for table in ("installation", "signing_key", "account")] == [
        1,
        1,
        1,
    ]


def test_four_at_once_make_one_of_each(bare_cli: Cli) -> None:
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                started("init", "--json", environ=bare_cli.environ, folder=bare_cli.folder)
            )
            for _ in range(RACERS)
        ]
        outputs = [racer.communicate(timeout=END_SECONDS) for racer in racers]

    assert [racer.returncode for racer in racers] == [0] * RACERS, outputs
    done = [json.loads(shown) for shown, _ in outputs]
    assert [one["key_file_created"] for one in done].count(True) == 1
    assert [one["installation_created"] for one in done].count(True) == 1
    assert len([one["admin"] for one in done if one["admin"]]) == 1
    assert count(bare_cli, "installation") == 1
    assert count(bare_cli, "account") == 1
    assert count(bare_cli, "signing_key where active") == 1
    assert len(bare_cli.settings.secret_keys_file.read_text().splitlines()) == 3


def test_an_interrupted_one_is_finished_by_the_next(bare_cli: Cli) -> None:
    """Whatever was made first: the key file, and then the empty tables."""
    create_key_file(bare_cli.settings.secret_keys_file)
    database = Database(bare_cli.settings.database_url)
    upgrade(database)
    database.close()

    done = bare_cli.json("init")

    assert done["key_file_created"] is False
    assert done["installation_created"] is True
    assert done["admin"] is not None


def test_it_makes_no_key_beside_a_database_that_needs_another(cli: Cli) -> None:
    path = cli.settings.secret_keys_file
    kept = path.read_bytes()
    path.unlink()

    told = cli.refused("init")

    assert str(path) in told
    assert "Put the key file back" in told
    assert not path.exists()
    path.touch(mode=0o600)
    path.write_bytes(kept)
    assert cli.json("init")["installation_created"] is False


def test_a_key_of_another_database_is_refused(cli: Cli) -> None:
    path = cli.settings.secret_keys_file
    path.unlink()
    create_key_file(path)

    assert "do not open this database" in cli.refused("init")


def test_in_production_it_makes_no_account_and_says_who_can(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", "production")
    monkeypatch.delenv("TWINLOCK_HASH_MEMORY_KIB")
    monkeypatch.delenv("TWINLOCK_HASH_ITERATIONS")

    shown = sqlite_cli.done("init")

    assert "twinlock user create" in shown
    assert "password" not in shown
    assert count(sqlite_cli, "account") == 0


def test_the_first_password_signs_in_for_a_day(bare_cli: Cli) -> None:
    password = bare_cli.json("init")["admin"]["password"]
    clock = MovableClock(utc_now())

    with TestClient(
        create_app(bare_cli.settings, clock=clock), base_url="http://localhost:8000"
    ) as client:
        clock.now += FIRST_PASSWORD_LIFETIME - timedelta(minutes=1)
        assert token(client, "admin", password).status_code == 200
        clock.now += timedelta(minutes=1)
        assert token(client, "admin", password).status_code == 400


def test_the_first_password_meets_a_strict_policy(
    sqlite_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINLOCK_PASSWORD_MIN_LENGTH", "64")

    assert len(sqlite_cli.json("init")["admin"]["password"]) >= 64


def test_an_account_that_is_there_keeps_it_from_making_another(cli: Cli) -> None:
    """Even when nobody is an administrator: that is the operator's own doing."""
    database = Database(cli.settings.database_url)
    database.transaction(lambda tx: tx.execute(text("update account set roles = ''")))
    database.close()

    done = cli.json("init")

    assert done["admin"] is None
    assert done["has_admin"] is False
    assert "twinlock user create" in cli.done("init")


def test_keys_from_the_settings_need_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli(tmp_path, monkeypatch, TWINLOCK_SECRET_KEYS=to_base64url(bytes(32)))

    assert cli.json("init")["key_file"] is None
    assert not (tmp_path / "data" / "secret.keys").exists()


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    cli = make_cli(tmp_path, monkeypatch, TWINLOCK_DATA_DIR=str(tmp_path / "file" / "data"))

    assert "TWINLOCK_DATA_DIR" in cli.refused("init")


def test_a_database_of_a_newer_program_is_left_alone(cli: Cli) -> None:
    database = Database(cli.settings.database_url)
    database.transaction(
        lambda tx: tx.execute(text("update alembic_version set version_num = '9999'"))
    )
    database.close()

    told = cli.refused("init")

    assert "9999" in told
    assert "newer program" in told
