"""What a host's directory tells that it should not, or in another form."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table

from tests.directory.host import Plain, Users, make_host
from tests.support.house import PASSWORD, House, bearer, token
from twinlock import DirectoryEntry
from twinlock.contrib.sqlalchemy import SqlAlchemyDirectory

EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))
TOO_MANY_ROLES = "roles are more than a token can hold"
NO_MOMENT = "since is a moment that no calendar has"


class Careless(Plain):
    """One that no type checker has seen."""

    def __init__(self, host: Users, **told: Any) -> None:
        super().__init__(host)
        self.told = told

    def find(self, login: str) -> DirectoryEntry | None:
        entry = super().find(login)
        return None if entry is None else dataclasses.replace(entry, **self.told)


@pytest.mark.parametrize(
    "told, flaw",
    [
        ({"since": "2026-01-01 00:00:00"}, "since is of type str"),
        ({"roles": "editor"}, "roles are a collection of words, and no text"),
        ({"roles": [1]}, "a role is a word"),
        ({"password_hash": b"$2b$12$"}, "password_hash is of type bytes"),
        ({"id": None}, "id is missing"),
        ({"disabled": None}, "disabled is of type NoneType"),
        ({"username": 7}, "username is of type int"),
        ({"username": "john\0doe"}, "username is no text that a database can hold"),
        ({"email": "\ud800"}, "email is no text that a database can hold"),
        ({"full_name": "\udfff"}, "full_name is no text that a database can hold"),
        ({"roles": ["staff", "\0"]}, "a role is a word"),
        ({"roles": ["\ud800"]}, "a role is a word"),
        ({"roles": ["r" * 5_000]}, "roles are more than a token can hold"),
        ({"roles": [f"of-team-{number}" for number in range(400)]}, TOO_MANY_ROLES),
        ({"roles": ["\u0440" * 700]}, TOO_MANY_ROLES),
        ({"since": datetime.min.replace(tzinfo=EAST)}, NO_MOMENT),
        ({"since": datetime.max.replace(tzinfo=WEST)}, NO_MOMENT),
    ],
    ids=lambda one: str(one)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_what_a_directory_tells_wrongly_is_named_and_signs_nobody_in(
    house: House,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    told: dict[str, Any],
    flaw: str,
) -> None:
    host = make_host(house, tmp_path, lambda host: Careless(host, **told))

    with host.open():
        host.users.add()
        answer = token(host.client, "johndoe", PASSWORD)

    assert answer.status_code == 503
    assert [vars(one)["error"] for one in caplog.records if one.msg == "directory_failed"] == [flaw]


@pytest.mark.parametrize(
    "told",
    [
        {"id": "\ud800"},
        {"id": "a\0b"},
        {"id": "x" * 256},
    ],
    ids=["surrogate", "nul", "long"],
)
def test_an_id_that_no_database_can_hold_signs_nobody_in(
    house: House, tmp_path: Path, told: dict[str, Any]
) -> None:
    host = make_host(house, tmp_path, lambda host: Careless(host, **told))

    with host.open():
        host.users.add()
        assert token(host.client, "johndoe", PASSWORD).status_code == 503


@pytest.mark.parametrize(
    "told",
    [
        {"username": "", "email": "", "full_name": "x" * 10_000},
        {"username": "Jo\u202ehn\n", "roles": ["\u0440\u0443\u0431"], "id": "\N{SNOWMAN}" * 255},
        {"since": datetime.min.replace(tzinfo=UTC)},
        {"since": datetime.max.replace(tzinfo=UTC)},
    ],
    ids=["empty_and_long", "odd", "first_moment", "last_moment"],
)
def test_what_is_only_odd_signs_in(house: House, tmp_path: Path, told: dict[str, Any]) -> None:
    host = make_host(house, tmp_path, lambda host: Careless(host, **told))

    with host.open():
        host.users.add()
        answer = token(host.client, "johndoe", PASSWORD)
        me = host.client.get("/users/me", headers=bearer(answer.json()))

    assert (answer.status_code, me.status_code) == (200, 200)


def test_a_table_may_keep_its_hashes_as_bytes(sqlite_house: House, tmp_path: Path) -> None:
    """As `bcrypt.hashpw` gives them; they are replaced as bytes, too."""
    kept = Table(
        "kept",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("hashed", LargeBinary),
    )

    def over_bytes(host: Users) -> SqlAlchemyDirectory:
        kept.create(host.engine)
        with host.engine.begin() as tx:
            old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4))
            tx.execute(kept.insert().values(name="johndoe", hashed=old))
        columns: Any = {"id": "id", "username": "name", "password_hash": "hashed"}
        return SqlAlchemyDirectory(host.engine, kept, columns, upgrades_hashes=True)

    host = make_host(sqlite_house, tmp_path, over_bytes)
    with host.open():
        first = token(host.client, "johndoe", PASSWORD)
        second = token(host.client, "johndoe", PASSWORD)
        with host.users.engine.connect() as db:
            now_kept = db.execute(kept.select()).one().hashed

    assert (first.status_code, second.status_code) == (200, 200)
    assert now_kept.startswith(b"$argon2id$")
