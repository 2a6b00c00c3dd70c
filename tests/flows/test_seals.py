"""Whoever writes to the database without the master keys opens no account with it.

Each attack changes rows as a stolen database account could. Whatever it does, nobody gets in with
the password alone, nothing fails with a 500, and the alarm is raised at the first login.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError

from tests.support.home import Home
from tests.support.house import OPERATOR, PASSWORD, bearer, token
from twinlock.audit.events import EventType
from twinlock.core.proof import Reason

Attack = Callable[[Home], None]

JOHN = "subject_id = :john"
ALICE = "(SELECT s.id FROM subject s JOIN account a ON a.id = s.host_id WHERE a.username = 'alice')"


def change(home: Home, *statements: str, **params: Any) -> None:
    """Run statements, in which `:john` is johndoe's subject."""
    for statement in statements:
        given = {"john": home.john.account.subject} if ":john" in statement else {}
        home.execute(text(statement), **given, **params)


def rows(home: Home, statement: str) -> Sequence[Row[Any]]:
    def read(db: Connection) -> Sequence[Row[Any]]:
        return db.execute(text(statement)).all()

    return home.house.database.reading(read)


def put_back(home: Home, table: str, row: Row[Any]) -> None:
    """Insert a row that was read earlier."""
    columns = row._asdict()
    values = ", ".join(f":{name}" for name in columns)
    change(home, f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", **columns)


def with_alice(home: Home) -> None:
    home.house.create("alice")


def with_alice_enrolled(home: Home) -> None:
    home.house.create("alice")
    home.house.enroll(home.client, "alice")


# --- Attacks on what the seal is made over ---------------------------------------------------


def delete_the_authenticator(home: Home) -> None:
    change(home, f"DELETE FROM authenticator WHERE {JOHN}")


def delete_authenticator_and_key(home: Home) -> None:
    change(home, f"DELETE FROM authenticator WHERE {JOHN}", f"DELETE FROM totp WHERE {JOHN}")


def delete_everything(home: Home) -> None:
    delete_authenticator_and_key(home)
    change(home, f"DELETE FROM recovery_code WHERE {JOHN}")


def move_the_authenticator(home: Home) -> None:
    with_alice(home)
    change(home, f"UPDATE authenticator SET subject_id = {ALICE} WHERE {JOHN}")


def move_authenticator_and_key(home: Home) -> None:
    with_alice(home)
    for table in ("authenticator", "totp", "recovery_code"):
        change(home, f"UPDATE {table} SET subject_id = {ALICE} WHERE {JOHN}")


def add_an_authenticator(home: Home) -> None:
    change(
        home,
        "INSERT INTO authenticator SELECT replace(id, substr(id, 1, 4), 'beef'), subject_id, "
        f"method, label, code_digits, last_used_at, created_at FROM authenticator WHERE {JOHN}",
    )


def rename_the_method(home: Home) -> None:
    change(home, f"UPDATE authenticator SET method = 'recovery_codes' WHERE {JOHN}")


def rename_the_method_to_nonsense(home: Home) -> None:
    change(home, f"UPDATE authenticator SET method = 'nonsense' WHERE {JOHN}")


def flip_a_bit_of_the_seal(home: Home) -> None:
    seal = bytearray(home.house.account().seal)
    seal[-1] ^= 1
    change(home, "UPDATE subject SET seal = :seal WHERE id = :john", seal=bytes(seal))


def flip_the_key_id_of_the_seal(home: Home) -> None:
    seal = bytearray(home.house.account().seal)
    seal[0] ^= 1
    change(home, "UPDATE subject SET seal = :seal WHERE id = :john", seal=bytes(seal))


def empty_the_seal(home: Home) -> None:
    change(home, "UPDATE subject SET seal = x'' WHERE id = :john")


def put_a_number_for_the_seal(home: Home) -> None:
    """SQLite takes it."""
    change(home, f"UPDATE subject SET seal = 7 WHERE id = {JOHN.partition(' = ')[2]}")


def take_the_seal_of_another(home: Home) -> None:
    """Of one who has no second factor."""
    with_alice(home)
    delete_everything(home)
    seal = home.house.account("alice").seal
    change(home, "UPDATE subject SET seal = :seal, generation = 0 WHERE id = :john", seal=seal)


def lower_the_generation(home: Home) -> None:
    change(home, "UPDATE subject SET generation = generation - 1 WHERE id = :john")


def raise_the_generation(home: Home) -> None:
    change(home, "UPDATE subject SET generation = generation + 1 WHERE id = :john")


def make_the_generation_huge(home: Home) -> None:
    change(home, "UPDATE subject SET generation = 9223372036854775807 WHERE id = :john")


def forget_that_it_awaits_an_enrollment(home: Home) -> None:
    home.house.factor_administration.reset(home.house.account(), OPERATOR, now=home.house.now)
    change(home, "UPDATE subject SET awaits_enrollment = false WHERE id = :john")


def say_that_it_awaits_an_enrollment(home: Home) -> None:
    change(home, "UPDATE subject SET awaits_enrollment = true WHERE id = :john")


def put_back_what_was_removed(home: Home) -> None:
    """With a copy of the rows from before: the owner has removed a stolen phone."""
    kept = {
        table: rows(home, f"SELECT * FROM {table}")
        for table in ("authenticator", "totp", "recovery_code")
    }
    (factor,) = home.client.get("/api/factors", headers=home.john.bearer).json()["factors"]
    removed = home.client.delete(f"/api/factors/{factor['id']}", headers=home.john.bearer)
    assert removed.status_code == 200
    for table, copies in kept.items():
        for copy in copies:
            put_back(home, table, copy)


def put_back_the_old_seal(home: Home) -> None:
    """And generation, from before the enrollment: without the rows that came with it."""
    home.house.create("eve")
    seal, subject = home.house.account("eve").seal, home.house.account("eve").subject
    change(home, "UPDATE subject SET seal = :seal WHERE id = :john", seal=seal)
    assert subject != home.john.account.subject


SEALED = [
    delete_the_authenticator,
    delete_authenticator_and_key,
    delete_everything,
    move_the_authenticator,
    move_authenticator_and_key,
    add_an_authenticator,
    rename_the_method,
    rename_the_method_to_nonsense,
    flip_a_bit_of_the_seal,
    flip_the_key_id_of_the_seal,
    empty_the_seal,
    put_a_number_for_the_seal,
    take_the_seal_of_another,
    lower_the_generation,
    raise_the_generation,
    make_the_generation_huge,
    forget_that_it_awaits_an_enrollment,
    say_that_it_awaits_an_enrollment,
    put_back_what_was_removed,
    put_back_the_old_seal,
]


# --- Attacks on the keys --------------------------------------------------------------------


def delete_the_key(home: Home) -> None:
    change(home, f"DELETE FROM totp WHERE {JOHN}")


def put_a_number_for_the_key(home: Home) -> None:
    change(home, f"UPDATE totp SET key = 7 WHERE {JOHN}")


def swap_the_keys_of_two_accounts(home: Home) -> None:
    """Alice, who is no stranger to the attacker, would sign in as johndoe with her phone."""
    with_alice_enrolled(home)
    one, other = rows(home, "SELECT subject_id, key FROM totp")
    for subject, key in ((one.subject_id, other.key), (other.subject_id, one.key)):
        change(home, "UPDATE totp SET key = :key WHERE subject_id = :id", key=key, id=subject)


def move_the_key_to_another_account(home: Home) -> None:
    with_alice_enrolled(home)
    change(home, f"UPDATE totp SET subject_id = {ALICE} WHERE {JOHN}")


def take_the_key_row_of_another(home: Home) -> None:
    """Under johndoe's authenticator."""
    with_alice_enrolled(home)
    (mine,) = rows(home, f"SELECT authenticator_id FROM totp WHERE subject_id != {ALICE}")
    change(
        home,
        f"DELETE FROM totp WHERE {JOHN}",
        f"UPDATE totp SET subject_id = :john WHERE subject_id = {ALICE}",
    )
    change(home, "UPDATE totp SET authenticator_id = :id", id=mine.authenticator_id)


def flip_a_bit_of_the_key(home: Home) -> None:
    (row,) = rows(home, "SELECT key FROM totp")
    key = bytearray(row.key)
    key[-1] ^= 1
    change(home, "UPDATE totp SET key = :key", key=bytes(key))


def flip_the_version_of_the_key(home: Home) -> None:
    (row,) = rows(home, "SELECT key FROM totp")
    change(home, "UPDATE totp SET key = :key", key=b"\x02" + row.key[1:])


def cut_the_key(home: Home) -> None:
    (row,) = rows(home, "SELECT key FROM totp")
    change(home, "UPDATE totp SET key = :key", key=row.key[:10])


def empty_the_key(home: Home) -> None:
    change(home, "UPDATE totp SET key = x''")


def shorten_the_codes(home: Home) -> None:
    change(home, "UPDATE totp SET digits = 1")


def lengthen_the_steps(home: Home) -> None:
    """A code would be good for hours."""
    change(home, "UPDATE totp SET period_seconds = 32767")


def name_another_algorithm(home: Home) -> None:
    change(home, "UPDATE totp SET algorithm = 'md5'")


KEYS = [
    delete_the_key,
    put_a_number_for_the_key,
    swap_the_keys_of_two_accounts,
    move_the_key_to_another_account,
    take_the_key_row_of_another,
    flip_a_bit_of_the_key,
    flip_the_version_of_the_key,
    cut_the_key,
    empty_the_key,
    shorten_the_codes,
    lengthen_the_steps,
    name_another_algorithm,
]

sealed = pytest.mark.parametrize("attack", SEALED, ids=lambda attack: attack.__name__)
keys = pytest.mark.parametrize("attack", KEYS, ids=lambda attack: attack.__name__)
attacked = pytest.mark.parametrize("attack", SEALED + KEYS, ids=lambda attack: attack.__name__)


def sessions(home: Home) -> int:
    (row,) = rows(home, "SELECT count(*) AS number FROM session")
    number: int = row.number
    return number


def log_in(home: Home) -> Any:
    return home.client.post("/api/login", json={"username": "johndoe", "password": PASSWORD})


@sealed
def test_nothing_opens_an_account_with_a_broken_seal(home: Home, attack: Attack) -> None:
    attack(home)
    before = sessions(home)

    code = home.code()
    doors = [
        log_in(home),
        home.token(PASSWORD),
        home.token(PASSWORD + code),
        home.token(PASSWORD, otp=code),
        home.token(PASSWORD, otp=home.recovery_code()),
    ]

    assert [door.status_code for door in doors] == [401, 400, 400, 400, 400]
    assert sessions(home) == before


@keys
def test_no_code_fits_a_key_that_was_touched(home: Home, attack: Attack) -> None:
    attack(home)
    before = sessions(home)

    code = home.code()
    doors = [
        home.token(PASSWORD),
        home.token(PASSWORD, otp=code),
        home.token(PASSWORD + code),
        home.answer(home.begin(), code),
        home.answer(home.begin(), code[:1]),
    ]

    assert [door.status_code for door in doors] == [403, 400, 400, 401, 401]
    assert sessions(home) == before


@attacked
def test_the_first_login_raises_the_alarm(
    home: Home, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    attack(home)
    caplog.clear()

    response = log_in(home)
    if response.status_code == 200:
        home.answer(response.json()["login"], home.code())

    assert home.events(EventType.LOGIN_DENIED)[0].reason == Reason.SEAL_BROKEN
    alarms = [one for one in caplog.records if one.levelno == logging.CRITICAL]
    assert [alarm.getMessage() for alarm in alarms] == ["seal_broken"]
    assert alarms[0].__dict__["subject"] == home.john.account.subject


@sealed
def test_a_code_behind_the_password_raises_the_alarm(
    home: Home, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    """How long the code is cannot be read from rows that nobody believes."""
    attack(home)
    caplog.clear()

    answer = home.token(PASSWORD + home.code())

    assert answer.status_code == 400
    assert home.events(EventType.LOGIN_DENIED)[0].reason == Reason.SEAL_BROKEN
    alarms = [one.getMessage() for one in caplog.records if one.levelno == logging.CRITICAL]
    assert alarms == ["seal_broken"]


@sealed
def test_a_reauthentication_raises_the_alarm(
    home: Home, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    attack(home)
    caplog.clear()

    home.client.post("/api/reauthenticate", json={}, headers=home.john.bearer)

    denials = home.events(EventType.REAUTHENTICATION_DENIED)
    alarms = [one.getMessage() for one in caplog.records if one.levelno == logging.CRITICAL]
    is_alive = home.client.get("/users/me", headers=home.john.bearer).status_code == 200
    assert [denial.reason for denial in denials] == [Reason.SEAL_BROKEN] * is_alive
    assert alarms == ["seal_broken"] * is_alive


@attacked
def test_a_login_that_was_pending_goes_no_further(home: Home, attack: Attack) -> None:
    handle = home.begin()

    attack(home)

    assert home.answer(handle, home.code()).status_code == 401


@sealed
def test_a_session_changes_nothing_under_a_broken_seal(home: Home, attack: Attack) -> None:
    """Adding a factor would seal whatever was put there."""
    attack(home)
    headers = home.john.bearer
    post, body = home.client.post, {"current_password": PASSWORD, "new_password": PASSWORD + "!"}

    answers = [
        post("/api/factors/totp", json={}, headers=headers),
        post("/api/factors/recovery_codes", json={}, headers=headers),
        post("/api/account/password", json=body, headers=headers),
        post("/api/reauthenticate", json={}, headers=headers),
        home.client.get("/api/factors", headers=headers),
    ]

    assert {answer.status_code for answer in answers} == {401}


def test_a_session_that_meets_a_broken_seal_raises_the_alarm(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    delete_everything(home)

    home.client.post("/api/factors/totp", json={}, headers=home.john.bearer)

    assert [one.getMessage() for one in caplog.records if one.levelno == logging.CRITICAL] == [
        "seal_broken"
    ]


def test_who_is_given_another_ones_authenticator_is_locked_out_too(home: Home) -> None:
    """Until an operator resets it: extra rows are as broken as missing ones."""
    move_the_authenticator(home)

    assert token(home.client, "alice", PASSWORD).status_code == 400


def test_who_is_given_another_ones_key_is_denied(home: Home) -> None:
    """Even with a right code of the own: a row that nobody put there is an alarm."""
    with_alice(home)
    alice = home.house.enroll(home.client, "alice")
    change(home, f"UPDATE totp SET subject_id = {ALICE} WHERE {JOHN}")
    home.house.clock.advance(seconds=30)
    codes = [alice.phone.code(home.house.now), home.john.phone.code(home.house.now)]

    answers = [token(home.client, "alice", PASSWORD, otp=code).status_code for code in codes]

    assert answers == [400, 400]
    assert home.events(EventType.LOGIN_DENIED)[0].reason == Reason.SEAL_BROKEN


def test_a_key_put_back_without_its_authenticator_opens_nothing(home: Home) -> None:
    """The thief kept the rows of the phone that its owner has replaced by another."""
    headers = home.john.bearer
    (kept,) = rows(home, "SELECT * FROM totp")
    begun = home.client.post("/api/factors/totp", json={}, headers=headers).json()
    other = type(home.john.phone).from_uri(begun["options"]["uri"])
    body = {"enrollment": begun["enrollment"], "answer": other.code(home.house.now)}
    done = home.client.post("/api/factors/totp/confirm", json=body, headers=headers).json()
    removed = home.client.delete(f"/api/factors/{kept.authenticator_id}", headers=bearer(done))
    assert removed.status_code == 200
    put_back(home, "totp", kept)

    assert home.token(PASSWORD, otp=home.code()).status_code == 400
    assert home.events(EventType.LOGIN_DENIED)[0].reason == Reason.SEAL_BROKEN


def test_recovery_codes_of_another_account_open_nothing(home: Home) -> None:
    with_alice(home)
    alice = home.house.enroll(home.client, "alice")
    change(home, f"DELETE FROM recovery_code WHERE {JOHN}")
    change(home, "UPDATE recovery_code SET subject_id = :john")

    answers = [home.token(PASSWORD, otp=code).status_code for code in alice.recovery_codes[:3]]

    assert answers == [400] * 3


def test_an_operator_resets_an_account_with_a_broken_seal(home: Home) -> None:
    delete_everything(home)

    home.house.factor_administration.reset(home.house.account(), OPERATOR, now=home.house.now)

    response = home.token(PASSWORD)
    assert (response.status_code, response.json()["error"]) == (403, "enrollment_required")


@pytest.mark.parametrize("act", ["disable", "set_password"], ids=["disabling", "a new password"])
def test_no_other_change_mends_a_broken_seal(home: Home, act: str) -> None:
    """Or an operator's everyday act would bless what somebody wrote into the database."""
    delete_everything(home)
    administration, now = home.house.administration, home.house.now
    if act == "disable":
        administration.disable(home.house.account(), OPERATOR, now=now)
        administration.enable(home.house.account(), OPERATOR, now=now)
    else:
        new = home.house.runtime.password_check.new_hash(PASSWORD)
        administration.set_password(home.house.account(), new, OPERATOR, now=now)

    assert log_in(home).status_code == 401


@pytest.mark.parametrize("acr", ["zz", "AAL2", "\x00"])
def test_what_is_pending_and_was_changed_is_denied(
    home: Home, acr: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With an alarm, and without an error of ours."""
    headers = home.john.bearer
    handle = home.begin()
    begun = home.client.post("/api/reauthenticate", json={}, headers=headers).json()
    change(home, "UPDATE pending SET acr = :acr", acr=acr)
    caplog.clear()

    body = {"reauthentication": begun["reauthentication"], "answer": home.code()}
    answers = [
        home.answer(handle, home.code()),
        home.client.post("/api/login/totp/begin", json={"login": handle}),
        home.client.post("/api/reauthenticate/totp", json=body, headers=headers),
    ]

    assert {answer.status_code for answer in answers} == {401}
    alarms = {one.getMessage() for one in caplog.records if one.levelno == logging.CRITICAL}
    assert alarms == {"seal_broken"}


@pytest.mark.parametrize(
    "damage", ["details = 'zz'", "details = ''", "id = id || 'X'", "type = 'x'", "reason = 'x'"]
)
def test_a_changed_event_keeps_nobody_from_the_history(home: Home, damage: str) -> None:
    headers = home.john.bearer
    before = home.client.get("/api/events", headers=headers).json()["events"]

    change(home, f"UPDATE event SET {damage} WHERE type = 'factor.enrolled'")

    history = home.client.get("/api/events", headers=headers)
    assert history.status_code == 200
    assert len(history.json()["events"]) == len(before) > 1


@pytest.mark.parametrize(
    "column, door",
    [("account.email_verified_at", "token"), ("session.expires_at", "refresh")],
)
@pytest.mark.parametrize("damage", ["'never'", "''", "17"])
def test_a_moment_that_is_none_decides_nothing(
    home: Home, column: str, door: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite keeps any text where a moment belongs; PostgreSQL refuses it by itself."""
    table, name = column.split(".")
    tokens = home.john.tokens
    damaging = f"UPDATE {table} SET {name} = {damage}"
    if not home.house.database.is_sqlite:
        with pytest.raises(DBAPIError):
            change(home, damaging)
        return
    change(home, damaging)
    caplog.clear()

    answer = (
        token(home.client, "johndoe", PASSWORD)
        if door == "token"
        else home.client.post(
            "/token",
            data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]},
        )
    )

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "request_failed_closed" in {one.getMessage() for one in caplog.records}
