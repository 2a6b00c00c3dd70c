"""The host's own users: signing in, and what the host's table does to it afterwards."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID

import bcrypt
import pytest

from tests.directory.host import COLUMNS, FAST, KINDS, Host, Plain, Users, make_host, users
from tests.support.house import PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock import DirectoryEntry
from twinlock.accounts.entries import store as entries
from twinlock.accounts.passwords import hash_password
from twinlock.contrib.sqlalchemy import SqlAlchemyDirectory


@pytest.fixture(params=list(KINDS))
def host(request: pytest.FixtureRequest, sqlite_house: House, tmp_path: Path) -> Iterator[Host]:
    with make_host(sqlite_house, tmp_path, KINDS[request.param]).open() as opened:
        yield opened


@pytest.fixture
def plain(sqlite_house: House, tmp_path: Path) -> Iterator[Host]:
    with make_host(sqlite_house, tmp_path, Plain).open() as opened:
        yield opened


def test_a_host_s_user_signs_in_and_is_known_by_the_host_s_id(host: Host) -> None:
    user_id = host.users.add(roles="editor staff")

    tokens = sign_in(host.client)

    me = host.client.get("/whoami", headers=bearer(tokens)).json()
    assert me == {
        "host_id": str(user_id),
        "roles": ["editor", "staff"],
        "email": "johndoe@example.com",
    }


def test_the_second_factor_works_as_for_accounts_of_ours(host: Host) -> None:
    host.users.add()
    phone, tokens = host.enroll()
    code = phone.code(host.house.now)

    without = token(host.client, "johndoe", PASSWORD)
    right = token(host.client, "johndoe", PASSWORD + code)
    again = token(host.client, "johndoe", PASSWORD + code)

    assert without.status_code == 403
    assert without.json()["error"] == "mfa_required"
    assert right.status_code == 200
    assert again.status_code == 400
    assert host.me(tokens).status_code == 200


def test_the_two_step_login_works(host: Host) -> None:
    host.users.add()
    phone, _ = host.enroll()

    begun = begin_login(host.client)
    answer = {"login": begun["login"], "answer": phone.code(host.house.now)}
    done = host.client.post("/api/login/totp", json=answer)

    assert begun["status"] == "second_factor_required"
    assert done.json()["status"] == "signed_in"


def test_unknown_wrong_and_disabled_get_one_answer(host: Host) -> None:
    host.users.add()
    host.users.add("jane", is_active=False)

    answers = [
        token(host.client, "nobody", PASSWORD),
        token(host.client, "johndoe", "wrong"),
        token(host.client, "jane", PASSWORD),
        token(host.client, "\0", PASSWORD),
    ]

    assert {(one.status_code, one.text) for one in answers} == {
        (400, answers[0].text),
    }


def test_wrong_passwords_are_counted_before_and_after_the_first_sign_in(plain: Host) -> None:
    plain.users.add()
    for _ in range(5):
        token(plain.client, "johndoe", "wrong")
    sign_in(plain.client)

    statuses = [token(plain.client, "johndoe", "wrong").status_code for _ in range(6)]

    assert statuses == [400] * 5 + [429]


def test_nothing_is_written_for_who_never_signed_in(plain: Host) -> None:
    plain.users.add()

    token(plain.client, "johndoe", "wrong")

    assert plain.runtime.parts.database.reading(entries.count_entries) == 0


def test_a_user_disabled_by_the_host_is_out_at_the_next_refresh(host: Host) -> None:
    user_id = host.users.add()
    tokens = sign_in(host.client)
    host.users.change(user_id, is_active=False)

    refreshed = host.refresh(tokens)

    assert refreshed.status_code == 400
    assert host.me(tokens).status_code == 401


def test_without_a_word_from_the_host_ten_minutes_are_the_most(plain: Host) -> None:
    """A cookie is never refreshed: it is asked about all the same."""
    user_id = plain.users.add()
    plain.client.base_url = "https://localhost:8000"
    body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
    signed_in = plain.client.post("/api/login", json=body)
    assert signed_in.status_code == 200
    plain.users.change(user_id, is_active=False)
    before = plain.client.get("/users/me").status_code
    plain.house.clock.advance(minutes=10, seconds=1)

    after = plain.client.get("/users/me").status_code

    assert (before, after) == (200, 401)


def test_a_demotion_is_seen_at_the_next_refresh(host: Host) -> None:
    user_id = host.users.add(roles="editor")
    tokens = sign_in(host.client)
    host.users.change(user_id, roles="")

    refreshed = host.refresh(tokens)

    assert refreshed.status_code == 200
    me = host.client.get("/whoami", headers=bearer(refreshed.json())).json()
    assert me["roles"] == []
    old = host.client.get("/whoami", headers=bearer(tokens)).json()
    assert old["roles"] == []


def test_a_deleted_user_is_out_at_the_next_refresh(host: Host) -> None:
    user_id = host.users.add()
    tokens = sign_in(host.client)
    host.users.delete(user_id)

    refreshed = host.refresh(tokens)

    assert refreshed.status_code == 400
    assert host.me(tokens).status_code == 401


def test_an_id_given_out_again_inherits_nothing(host: Host) -> None:
    user_id = host.users.add()
    _, tokens = host.enroll()
    old = host.client.get("/api/account", headers=bearer(tokens)).json()["id"]
    host.users.delete(user_id)
    again = host.users.add("mallory", id=user_id, created=datetime(2026, 2, 2, tzinfo=UTC))

    fresh = sign_in(host.client, "mallory")

    assert again == user_id
    account = host.client.get("/api/account", headers=bearer(fresh)).json()
    assert account["id"] != old
    assert host.client.get("/api/factors", headers=bearer(fresh)).json()["factors"] == []
    assert host.me(tokens).status_code == 401
    assert host.refresh(tokens).status_code == 400


def test_a_pending_login_dies_when_the_host_disables_its_account(plain: Host) -> None:
    user_id = plain.users.add()
    phone, _ = plain.enroll()
    begun = begin_login(plain.client)
    plain.users.change(user_id, is_active=False)

    answer = {"login": begun["login"], "answer": phone.code(plain.house.now)}
    done = plain.client.post("/api/login/totp", json=answer)

    assert done.status_code == 401


def test_profile_and_password_are_the_host_s_to_change(plain: Host) -> None:
    plain.users.add()
    headers = bearer(sign_in(plain.client))

    profile = plain.client.patch("/api/account", json={"full_name": "J"}, headers=headers)
    password = {"current_password": PASSWORD, "new_password": "another long password"}
    changed = plain.client.post("/api/account/password", json=password, headers=headers)

    for refused in (profile, changed):
        assert refused.status_code in {400, 403, 409, 422}
        assert refused.json()["type"] == "managed_elsewhere"


def test_a_deleted_subject_does_not_take_its_second_factor_with_it(plain: Host) -> None:
    """No state of the data reads as "no second factor" but a valid seal over none."""
    plain.users.add()
    plain.enroll()
    with plain.runtime.parts.database.engine.connect() as db:
        db.exec_driver_sql("DELETE FROM subject")
        db.exec_driver_sql("DELETE FROM directory_entry")
        db.commit()

    answer = token(plain.client, "johndoe", PASSWORD)

    assert answer.status_code == 400


@pytest.mark.parametrize("door", ["token", "login"])
def test_who_deletes_all_that_belongs_to_a_second_factor_makes_no_new_account(
    plain: Host, caplog: pytest.LogCaptureFixture, door: str
) -> None:
    """A host's account has no row of ours before its first sign-in: the log tells them apart."""
    plain.users.add()
    plain.enroll()
    with plain.runtime.parts.database.engine.connect() as db:
        for table in ("subject", "directory_entry", "authenticator", "totp", "recovery_code"):
            db.exec_driver_sql(f"DELETE FROM {table}")
        db.commit()

    if door == "token":
        assert token(plain.client, "johndoe", PASSWORD).status_code == 400
    else:
        body = {"username": "johndoe", "password": PASSWORD}
        assert plain.client.post("/api/login", json=body).status_code == 401
    assert "seal_broken" in caplog.messages


def test_a_first_sign_in_after_wrong_passwords_is_one(plain: Host) -> None:
    plain.users.add()
    denied = [token(plain.client, "johndoe", "wrong").status_code for _ in range(3)]

    assert denied == [400] * 3
    assert token(plain.client, "johndoe", PASSWORD).status_code == 200


@pytest.mark.parametrize(
    "entry",
    [
        DirectoryEntry(id="", username="x"),
        DirectoryEntry(id="x" * 256, username="x"),
        DirectoryEntry(id=1, username="x", roles=["two words"]),
    ],
    ids=["no_id", "long_id", "role"],
)
def test_an_impossible_entry_fails_closed(
    sqlite_house: House, tmp_path: Path, entry: DirectoryEntry
) -> None:
    class Impossible(Plain):
        def find(self, login: str) -> DirectoryEntry | None:
            return entry

    with make_host(sqlite_house, tmp_path, Impossible).open() as host:
        assert token(host.client, "johndoe", PASSWORD).status_code == 503


def test_a_directory_that_fails_is_answered_with_503(sqlite_house: House, tmp_path: Path) -> None:
    class Failing(Plain):
        def find(self, login: str) -> DirectoryEntry | None:
            raise ZeroDivisionError

    with make_host(sqlite_house, tmp_path, Failing).open() as host:
        answer = token(host.client, "johndoe", PASSWORD)

    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), TimeoutError()])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_directory_that_gives_up_takes_no_server_along(
    sqlite_house: House, tmp_path: Path, error: BaseException, is_async: bool
) -> None:
    fails = [True, False]

    class Exiting(Plain):
        def find(self, login: str) -> DirectoryEntry | None:
            if fails.pop(0):
                raise error
            return super().find(login)

    class AsyncExiting(Exiting):
        async def find(self, login: str) -> DirectoryEntry | None:  # type: ignore[override]
            return Exiting.find(self, login)

    kind = AsyncExiting if is_async else Exiting
    with make_host(sqlite_house, tmp_path, kind).open() as host:
        host.users.add()
        answers = [token(host.client, "johndoe", PASSWORD).status_code for _ in range(2)]

    assert answers == [503, 200]


@pytest.mark.parametrize("allowed", [True, False])
def test_hashes_are_upgraded_only_where_the_host_allows_it(
    sqlite_house: House, tmp_path: Path, allowed: bool
) -> None:
    bcrypt_of_password = "$2b$04$"

    def make(host: Users) -> SqlAlchemyDirectory:
        return SqlAlchemyDirectory(host.engine, users, COLUMNS, upgrades_hashes=allowed)

    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    assert old.startswith(bcrypt_of_password)
    with make_host(sqlite_house, tmp_path, make).open() as host:
        user_id = host.users.add(hashed=old)

        sign_in(host.client)

        assert (host.users.get(user_id).hashed != old) is allowed
        sign_in(host.client)


def test_two_first_sign_ins_at_once_are_of_one_subject(house: House, tmp_path: Path) -> None:
    with make_host(house, tmp_path, Plain).open() as host:
        host.users.add()
        runtime = host.runtime
        entry = Plain(host.users).find("johndoe")
        both = [
            runtime.parts.database.transaction(runtime.parts.accounts.find, "johndoe", entry)
            for _ in range(2)
        ]
        for account in both:
            assert account is not None
            runtime.parts.database.transaction(
                runtime.parts.accounts.write_subject, account, now=house.now
            )

        tokens = sign_in(host.client)

        me = host.client.get("/api/account", headers=bearer(tokens)).json()["id"]
        assert {account.subject for account in both if account} == {me}


def test_a_host_s_user_enrolls_and_refreshes_on_both_databases(
    house: House, tmp_path: Path
) -> None:
    with make_host(house, tmp_path, Plain).open() as host:
        user_id = host.users.add()
        phone, tokens = host.enroll()
        refreshed = host.refresh(tokens)
        code = phone.code(house.now)
        signed_in = sign_in(host.client, otp=code)
        host.users.delete(user_id)

        over = host.refresh(signed_in)

        assert refreshed.status_code == 200
        assert over.status_code == 400
        assert token(host.client, "johndoe", PASSWORD).status_code == 400


class Named:
    """A directory in memory, whose ids are of any kind."""

    def __init__(self) -> None:
        self.people: dict[str, DirectoryEntry] = {}

    def find(self, login: str) -> DirectoryEntry | None:
        return next((one for one in self.people.values() if one.username == login), None)

    def get(self, account_id: str) -> DirectoryEntry | None:
        return self.people.get(account_id)

    def put(self, id_: int | str | UUID, username: str, year: int | None = None) -> None:
        since = None if year is None else datetime(year, 1, 1, tzinfo=UTC)
        self.people[str(id_)] = DirectoryEntry(
            id=id_,
            username=username,
            password_hash=hash_password(PASSWORD, profile=FAST),
            since=since,
        )


@pytest.mark.parametrize("word", ["forget", "since", "refresh"])
@pytest.mark.parametrize(
    "id_",
    [7, -1, 2**63, UUID(int=7), "7", "john doe", "Jöhn/..%00", "x" * 255],
    ids=["int", "negative", "large", "uuid", "digits", "text", "odd", "long"],
)
def test_an_id_of_any_kind_given_out_again_inherits_nothing(
    sqlite_house: House, tmp_path: Path, id_: int | str | UUID, word: str
) -> None:
    directory = Named()
    with make_host(sqlite_house, tmp_path, lambda _: directory).open() as host:
        directory.put(id_, "johndoe", 2026 if word == "since" else None)
        phone, tokens = host.enroll()
        begun = begin_login(host.client)
        old = host.client.get("/api/account", headers=bearer(tokens)).json()["id"]
        assert host.client.get("/whoami", headers=bearer(tokens)).json()["host_id"] == str(id_)
        del directory.people[str(id_)]
        if word == "forget":
            _ = host.auth.forget(id_)
        elif word == "refresh":
            assert host.refresh(tokens).status_code == 400
        directory.put(id_, "mallory", 2027 if word == "since" else None)

        fresh = sign_in(host.client, "mallory")

        answer = {"login": begun["login"], "answer": phone.code(host.house.now)}
        late = host.client.post("/api/login/totp", json=answer)
        account = host.client.get("/api/account", headers=bearer(fresh)).json()
        factors = host.client.get("/api/factors", headers=bearer(fresh)).json()
        assert account["id"] != old
        assert (factors["factors"], factors["recovery_codes_left"]) == ([], 0)
        assert (late.status_code, host.me(tokens).status_code) == (401, 401)
        assert host.refresh(tokens).status_code == 400


def test_first_sign_ins_that_race_are_of_one_subject(house: House, tmp_path: Path) -> None:
    """Each round another account, which everybody signs in to for the first time at once."""
    racers = 6
    with make_host(house, tmp_path, Plain).open() as host:
        for number in range(4):
            name = f"user{number}"
            host.users.add(name)
            barrier = Barrier(racers)

            def first(_: int, name: str = name, barrier: Barrier = barrier) -> Any:
                barrier.wait()
                return token(host.client, name, PASSWORD)

            with ThreadPoolExecutor(racers) as pool:
                answers = list(pool.map(first, range(racers)))

            won = [one.json() for one in answers if one.status_code == 200]
            assert {one.status_code for one in answers} <= {200, 503}
            assert won
            ids = {host.client.get("/api/account", headers=bearer(one)).json()["id"] for one in won}
            assert len(ids) == 1
            rows = host.runtime.parts.database.reading(entries.find_by_host_id, str(number + 1))
            assert len(rows) == 1
