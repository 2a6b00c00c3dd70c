"""Rules over several rows hold from two sides at once: limits, caps, and what ends what."""

from typing import Any

import pytest

from tests.races.conftest import Open, Stage
from tests.races.crew import Shot, Told, delete, demote, disable, post
from tests.support.house import PASSWORD, Enrolled, bearer, sign_in

ROUNDS = 5
WRONG_CODE = "000000"
WRONG_PASSWORD = "wrong horse battery staple"
OTHER_PASSWORD = "another horse battery staple"


def enrolled(stage: Stage, username: str = "johndoe") -> Enrolled:
    stage.house.create(username)
    return stage.house.enroll(stage.client, username)


# --- The last administrator -----------------------------------------------------------------


@pytest.mark.parametrize(
    "one, other",
    [(disable, disable), (demote, demote), (delete, delete), (disable, demote), (demote, delete)],
    ids=lambda act: act.__name__,
)
def test_two_administrators_cannot_end_each_other(stage: Stage, one: Any, other: Any) -> None:
    """Each sees the other while both act; together they would leave none."""
    for number in range(3):
        admins = [
            stage.house.create(f"admin{number}{side}", roles=("admin",)) for side in ("a", "b")
        ]

        done = stage.fire([Shot(one, (admins[0],)), Shot(other, (admins[1],))])

        assert sorted(done) == [False, True]
        forget_administrators(stage)


def forget_administrators(stage: Stage) -> None:
    """Take every role behind the application's back, so that each round begins with two."""
    stage.house.database.transaction(lambda tx: tx.exec_driver_sql("UPDATE account SET roles = ''"))


# --- Limits ---------------------------------------------------------------------------------


def test_of_many_wrong_codes_at_once_five_are_looked_at(stage: Stage) -> None:
    enrolled(stage)
    handles = [stage.begin() for _ in range(10)]

    statuses = stage.statuses(
        [
            Shot(post, ("/api/login/totp",), {"json": {"login": handle, "answer": WRONG_CODE}})
            for handle in handles
        ]
    )

    assert statuses == [401] * 5 + [429] * 5


def test_of_many_wrong_answers_to_one_login_five_are_looked_at(stage: Stage) -> None:
    enrolled(stage)
    body = {"login": stage.begin(), "answer": WRONG_CODE}

    statuses = stage.statuses([Shot(post, ("/api/login/totp",), {"json": body})] * 10)

    assert statuses.count(429) <= 5
    stage.house.clock.advance(minutes=4, seconds=59)
    late = stage.client.post("/api/login/totp", json=body)
    assert late.status_code == 401, "it is void"


def test_of_many_wrong_passwords_at_once_ten_are_looked_at(stage: Stage) -> None:
    stage.house.create()
    body = {"username": "johndoe", "password": WRONG_PASSWORD}

    statuses = stage.statuses([Shot(post, ("/api/login",), {"json": body})] * 16)

    assert statuses == [401] * 10 + [429] * 6


def test_right_passwords_at_once_all_get_in(stage: Stage) -> None:
    """Each gives back its own try, and no try of another is lost or given away."""
    stage.house.create()
    body = {"username": "johndoe", "password": PASSWORD}
    wrong = {"username": "johndoe", "password": WRONG_PASSWORD}
    for _ in range(9):
        stage.client.post("/api/login", json=wrong)
    for _ in range(ROUNDS):
        statuses = stage.statuses([Shot(post, ("/api/login",), {"json": body})] * 4)

        assert set(statuses) <= {200, 429}
        assert statuses.count(200) >= 1

    after = [stage.client.post("/api/login", json=wrong).status_code for _ in range(2)]
    assert after == [401, 429]


# --- Caps -----------------------------------------------------------------------------------


def rows(stage: Stage, table: str, where: str = "1 = 1") -> int:
    statement = f"SELECT count(*) FROM {table} WHERE {where}"
    number: int = stage.house.database.reading(
        lambda db: db.exec_driver_sql(statement).scalar_one()
    )
    return number


def test_ten_logins_wait_and_no_more(stage: Stage) -> None:
    enrolled(stage)
    body = {"username": "johndoe", "password": PASSWORD}
    for _ in range(3):
        stage.house.clock.advance(seconds=1)

        statuses = stage.statuses([Shot(post, ("/api/login",), {"json": body})] * 8)

        assert statuses == [200] * 8
    assert rows(stage, "pending") == 10


def test_no_more_sessions_than_allowed_are_opened(open_stage: Open) -> None:
    stage = open_stage(max_sessions=3)
    stage.house.create()
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
    for _ in range(3):
        stage.house.clock.advance(seconds=1)

        told: list[Told] = stage.fire([Shot(post, ("/token",), {"data": form})] * 6)

        assert {one.status for one in told} == {200}
    assert rows(stage, "session", "ended_at IS NULL") == 3


# --- What ends what -------------------------------------------------------------------------


def test_a_changed_password_lets_no_older_login_through(stage: Stage) -> None:
    """A login that was hashing while the password changed is stale when its hash is done."""
    passwords = [PASSWORD, OTHER_PASSWORD]
    stage.house.create()
    for _ in range(ROUNDS):
        old, new = passwords
        tokens = sign_in(stage.client, password=old)
        change = {"current_password": old, "new_password": new}
        form = {"grant_type": "password", "username": "johndoe", "password": old}

        changed, *signed_in = stage.fire(
            [
                Shot(post, ("/api/account/password",), {"json": change, "tokens": tokens}),
                *[Shot(post, ("/token",), {"data": form})] * 4,
            ]
        )

        assert changed.status == 200
        assert stage.is_alive(changed.body)
        assert not any(stage.is_alive(one.body) for one in signed_in if one.status == 200)
        assert rows(stage, "session", "ended_at IS NULL") == 1
        passwords.reverse()


def test_a_disabled_account_keeps_no_session(stage: Stage) -> None:
    for number in range(ROUNDS):
        account = stage.house.create(f"user{number}")
        form = {"grant_type": "password", "username": account.username, "password": PASSWORD}

        disabled, *signed_in = stage.fire(
            [Shot(disable, (account,)), *[Shot(post, ("/token",), {"data": form})] * 4]
        )

        assert disabled
        assert not any(stage.is_alive(one.body) for one in signed_in if one.status == 200)
        assert rows(stage, "session", "ended_at IS NULL") == 0


def test_new_recovery_codes_end_the_login_that_is_being_answered(stage: Stage) -> None:
    """Either the login was first and its session ends, or it finds its account changed."""
    john = enrolled(stage)
    tokens = john.tokens
    for _ in range(ROUNDS):
        handle, code = stage.begin(), stage.code(john)
        body = {"login": handle, "answer": code}

        made, answered = stage.fire(
            [
                Shot(post, ("/api/factors/recovery_codes",), {"json": {}, "tokens": tokens}),
                Shot(post, ("/api/login/totp",), {"json": body}),
            ]
        )

        assert (made.status, answered.status) in {(201, 200), (201, 401)}
        assert answered.status == 401 or not stage.is_alive(answered.body)
        tokens = made.body


def test_a_refresh_does_not_outlive_the_end_of_its_session(stage: Stage) -> None:
    stage.house.create()
    for _ in range(ROUNDS):
        tokens = sign_in(stage.client)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

        _, refreshed = stage.fire(
            [
                Shot(post, ("/revoke",), {"data": {"token": tokens["refresh_token"]}}),
                Shot(post, ("/token",), {"data": form}),
            ]
        )

        assert refreshed.status == 400 or not stage.is_alive(refreshed.body)
        again = stage.client.post(
            "/token", data={**form, "refresh_token": refreshed.body.get("refresh_token", "x")}
        )
        assert again.status_code == 400
        assert stage.client.get("/users/me", headers=bearer(tokens)).status_code == 401
