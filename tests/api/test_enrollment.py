"""Enrolling a first factor inside a login: what it takes, what it ends in, and what it is not."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.support.home import Home
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, token
from twinlock.audit.events import EventType
from twinlock.flows.factor_administration import Removed
from twinlock.testing.authenticator import FakeAuthenticator


def reset(house: House) -> str:
    """Reset johndoe's factors and return the token of the link."""
    done = house.factor_administration.reset(house.account(), OPERATOR, now=house.now)
    assert isinstance(done, Removed)
    assert done.link is not None
    return done.link


def begin(client: TestClient, login: str, token: str | None = None, method: str = "totp") -> Any:
    body = {"login": login} if token is None else {"login": login, "token": token}
    return client.post(f"/api/enrollment/{method}", json=body)


def confirm(client: TestClient, login: str, begun: Any, answer: str, **more: str) -> Any:
    body = {"login": login, "enrollment": begun["enrollment"], "answer": answer, "label": "Phone"}
    return client.post("/api/enrollment/totp/confirm", json={**body, **more})


def phone_of(begun: Any) -> FakeAuthenticator:
    return FakeAuthenticator.from_uri(begun["options"]["uri"])


def wrong(phone: FakeAuthenticator, home: Home) -> str:
    return f"{(int(phone.code(home.house.now)) + 1) % 1_000_000:06}"


def test_a_login_ends_in_a_confirmed_factor(home: Home) -> None:
    """Security page, 9: password and link, and no session before the factor is confirmed."""
    link = reset(home.house)

    asked = begin_login(home.client)
    begun = begin(home.client, asked["login"], link).json()
    done = confirm(home.client, asked["login"], begun, phone_of(begun).code(home.house.now))

    assert asked.keys() == {"status", "login", "expires_in", "methods", "link_required"}
    assert (asked["status"], asked["expires_in"]) == ("enrollment_required", 900)
    assert (asked["methods"][0], asked["link_required"]) == ("totp", True)
    assert begun["expires_in"] == 600
    assert done.status_code == 200
    body = done.json()
    assert (body["status"], body["acr"], body["amr"]) == (
        "signed_in",
        "aal2",
        ["pwd", "otp", "mfa"],
    )
    assert len(body["recovery_codes"]) == 10
    assert body["factor"]["label"] == "Phone"
    assert home.client.get("/users/me", headers=bearer(body)).status_code == 200
    assert home.events(EventType.FACTOR_ENROLLED)
    assert home.events(EventType.LOGIN_SUCCEEDED)
    home.house.clock.advance(seconds=30)
    assert begin_login(home.client)["status"] == "second_factor_required"


def test_a_stolen_password_alone_enrolls_nothing(home: Home) -> None:
    reset(home.house)
    login = begin_login(home.client)["login"]

    without = begin(home.client, login)
    guessed = begin(home.client, login, "x" * 43)

    assert (without.status_code, without.json()["type"]) == (403, "enrollment_link_required")
    assert (guessed.status_code, guessed.json()["type"]) == (401, "login_denied")


def test_the_link_alone_and_the_link_of_another_account_enroll_nothing(home: Home) -> None:
    alice = home.house.create("alice")
    done = home.house.factor_administration.reset(alice, OPERATOR, now=home.house.now)
    assert isinstance(done, Removed)
    link = reset(home.house)

    assert begin(home.client, link, link).status_code == 401
    assert begin(home.client, begin_login(home.client)["login"], done.link).status_code == 401


def test_the_link_lives_a_day_and_the_next_reset_voids_it(home: Home) -> None:
    first = reset(home.house)
    second = reset(home.house)

    assert begin(home.client, begin_login(home.client)["login"], first).status_code == 401
    home.house.clock.advance(hours=23, minutes=59)
    assert begin(home.client, begin_login(home.client)["login"], second).status_code == 200
    home.house.clock.advance(minutes=2)
    assert begin(home.client, begin_login(home.client)["login"], second).status_code == 401


def test_the_link_enrolls_once(home: Home) -> None:
    link = reset(home.house)
    login, other = (begin_login(home.client)["login"] for _ in range(2))
    begun, twin = (begin(home.client, one, link).json() for one in (login, other))

    first = confirm(home.client, login, begun, phone_of(begun).code(home.house.now))
    second = confirm(home.client, other, twin, phone_of(twin).code(home.house.now))

    assert (first.status_code, second.status_code) == (200, 401)
    assert begin(home.client, other, link).status_code == 401


def test_the_token_endpoint_enrolls_nothing(home: Home) -> None:
    reset(home.house)

    response = token(home.client, "johndoe", PASSWORD)

    assert response.status_code == 403
    assert response.json().keys() <= {"error", "error_description"}
    assert response.json()["error"] == "enrollment_required"


def test_a_login_that_waits_for_a_second_factor_enrolls_nothing(home: Home) -> None:
    home.house.create("alice")
    home.house.enroll(home.client, "alice")
    waiting = begin_login(home.client, "alice")["login"]
    link = reset(home.house)

    assert begin(home.client, waiting).status_code == 401
    assert begin(home.client, waiting, link).status_code == 401


def test_a_login_that_waits_for_an_enrollment_answers_nothing_else(home: Home) -> None:
    reset(home.house)
    login = begin_login(home.client)["login"]

    answer = home.client.post("/api/login/totp", json={"login": login, "answer": "123456"})
    again = home.client.post("/api/login/totp/begin", json={"login": login})

    assert (answer.status_code, again.status_code) == (401, 401)


def test_five_wrong_answers_kill_the_enrollment_and_not_the_login(home: Home) -> None:
    link = reset(home.house)
    login = begin_login(home.client)["login"]
    begun = begin(home.client, login, link).json()
    phone = phone_of(begun)

    codes = [wrong(phone, home)] * 5 + [phone.code(home.house.now)]
    refused = [confirm(home.client, login, begun, code) for code in codes]
    anew = begin(home.client, login, link).json()
    done = confirm(home.client, login, anew, phone_of(anew).code(home.house.now))

    assert [one.status_code for one in refused] == [400] * 6
    assert [one.json()["type"] for one in refused] == ["wrong_answer"] * 5 + ["enrollment_expired"]
    assert done.status_code == 200


@pytest.mark.parametrize(
    "wait, status", [(timedelta(minutes=9, seconds=59), 200), (timedelta(minutes=10), 400)]
)
def test_an_enrollment_lives_ten_minutes(home: Home, wait: timedelta, status: int) -> None:
    link = reset(home.house)
    login = begin_login(home.client)["login"]
    begun = begin(home.client, login, link).json()
    home.house.clock.advance(seconds=wait.total_seconds())

    done = confirm(home.client, login, begun, phone_of(begun).code(home.house.now))

    assert done.status_code == status


@pytest.mark.parametrize("minutes, status", [(14.9, 200), (15, 401)])
def test_the_login_lives_fifteen_minutes(home: Home, minutes: float, status: int) -> None:
    link = reset(home.house)
    login = begin_login(home.client)["login"]
    home.house.clock.advance(minutes=minutes)

    assert begin(home.client, login, link).status_code == status


def test_an_enrollment_belongs_to_its_login_and_method(home: Home) -> None:
    link = reset(home.house)
    login, other = (begin_login(home.client)["login"] for _ in range(2))
    begun = begin(home.client, login, link).json()
    code = phone_of(begun).code(home.house.now)

    assert confirm(home.client, other, begun, code).status_code == 400
    assert begin(home.client, login, link, "recovery_codes").json()["type"] == "unknown_method"
    assert begin(home.client, login, link, "nonsense").json()["type"] == "unknown_method"


@pytest.mark.parametrize("act", ["disable", "reset", "enroll"])
def test_it_dies_with_the_account_s_next_change(home: Home, act: str) -> None:
    link = reset(home.house)
    login = begin_login(home.client)["login"]
    begun = begin(home.client, login, link).json()
    if act == "disable":
        home.house.administration.disable(home.house.account(), OPERATOR, now=home.house.now)
    elif act == "reset":
        reset(home.house)
    else:
        other = begin_login(home.client)["login"]
        twin = begin(home.client, other, link).json()
        confirm(home.client, other, twin, phone_of(twin).code(home.house.now))

    assert begin(home.client, login, link).status_code == 401
    done = confirm(home.client, login, begun, phone_of(begun).code(home.house.now))
    assert done.status_code == 401


@pytest.mark.parametrize(
    "planting",
    [
        "UPDATE pending SET purpose = 'login_enrollment' WHERE purpose = 'enrollment_link'",
        "UPDATE pending SET state = NULL",
        "UPDATE pending SET generation = generation + 1",
    ],
)
def test_who_writes_the_database_begins_no_login(home: Home, planting: str) -> None:
    """A row that the password did not make opens nothing, whatever it says."""
    link = reset(home.house)
    login = begin_login(home.client)["login"]
    home.execute(text(planting))

    assert begin(home.client, link, link).status_code == 401
    assert begin(home.client, login, link).status_code == 401


def test_a_browser_gets_the_cookie_and_no_token(home: Home) -> None:
    link = reset(home.house)
    login = begin_login(home.client)["login"]
    begun = begin(home.client, login, link).json()

    code = phone_of(begun).code(home.house.now)
    done = confirm(home.client, login, begun, code, transport="cookie")

    assert done.status_code == 200
    assert "access_token" not in done.json()
    assert "__Host-twinlock=" in done.headers["set-cookie"]


def test_another_site_s_page_enrolls_nothing(home: Home) -> None:
    link = reset(home.house)
    login = begin_login(home.client)["login"]

    response = home.client.post(
        "/api/enrollment/totp",
        json={"login": login, "token": link},
        headers={"Origin": "https://evil.example"},
    )

    assert response.status_code == 403
