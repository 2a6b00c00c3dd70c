"""An unlocked account counts its next try as its first, wherever the last ones came from."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.home import WRONG_CODE, WRONG_PASSWORD, Home
from tests.support.house import BASE_URL, OPERATOR, PASSWORD, bearer, sign_in

ORIGIN = {"Origin": BASE_URL}
SOMEWHERE = ["testclient", "192.0.2.1", "2001:db8:1:2:3:4:5:6", "::ffff:192.0.2.7"]


def unlock(home: Home, username: str = "johndoe") -> None:
    house = home.house
    house.administration.unlock(house.account(username), OPERATOR, now=house.now)


def log_in(client: TestClient, password: str, **headers: str) -> Any:
    body = {"username": "johndoe", "password": password}
    return client.post("/api/login", json=body, headers=headers)


@pytest.mark.parametrize("ip", SOMEWHERE)
def test_the_network_of_the_wrong_passwords_tries_again(home: Home, ip: str) -> None:
    client = home.from_address(ip)
    tries = [log_in(client, WRONG_PASSWORD).status_code for _ in range(10)]
    assert (tries, log_in(client, PASSWORD).status_code) == ([401] * 10, 429)
    home.house.clock.advance(minutes=9)

    unlock(home)

    assert log_in(client, PASSWORD).status_code == 200
    assert [log_in(client, WRONG_PASSWORD).status_code for _ in range(11)] == [401] * 10 + [429]


def test_wrong_codes_at_the_token_endpoint_are_forgotten_with_their_passwords(home: Home) -> None:
    tries = [home.token(PASSWORD, otp=WRONG_CODE).status_code for _ in range(11)]
    assert tries == [400] * 10 + [429]

    unlock(home)

    assert home.token(PASSWORD, otp=home.code()).status_code == 200


def test_a_known_browser_tries_again(home: Home) -> None:
    login = log_in(home.client, PASSWORD, **ORIGIN).json()["login"]
    answer = {"login": login, "answer": home.code()}
    known = home.client.post("/api/login/totp", json=answer, headers=ORIGIN)
    cookie = {"Cookie": f"__Host-twinlock-known={known.cookies['__Host-twinlock-known']}"}
    home.client.cookies.clear()
    for _ in range(10):
        log_in(home.client, WRONG_PASSWORD, **cookie)
    assert log_in(home.client, PASSWORD, **cookie).status_code == 429

    unlock(home)

    assert log_in(home.client, PASSWORD, **cookie).status_code == 200


def test_the_current_password_may_be_typed_again_in_a_session(home: Home) -> None:
    home.house.create("mary")
    headers = bearer(sign_in(home.client, "mary"))
    body = {"current_password": WRONG_PASSWORD, "new_password": "another long and safe phrase"}

    def change(current: str) -> int:
        given = {**body, "current_password": current}
        return home.client.post("/api/account/password", json=given, headers=headers).status_code

    assert [change(WRONG_PASSWORD) for _ in range(11)] == [400] * 10 + [429]

    unlock(home, "mary")

    assert change(PASSWORD) == 200


def test_nobody_elses_counts_are_forgotten(home: Home) -> None:
    home.house.create("mary")
    for name in ("johndoe", "mary", "nobody"):
        for _ in range(10):
            home.token(WRONG_PASSWORD, name)

    unlock(home)

    assert home.token(PASSWORD, "mary").status_code == 429
    assert home.token(PASSWORD, "nobody").status_code == 429


def test_a_network_that_tried_too_much_waits_on(home: Home) -> None:
    for number in range(10):
        for _ in range(10):
            home.token(WRONG_PASSWORD, "johndoe" if number == 0 else f"nobody{number}")
    assert home.token(PASSWORD).status_code == 429

    unlock(home)

    assert home.token(PASSWORD).status_code == 429
    home.house.clock.now += timedelta(hours=1)
    assert home.token(PASSWORD).status_code == 403
