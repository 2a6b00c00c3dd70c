"""Forgotten passwords, at HTTP: one answer for all, a link that works once and opens nothing."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.home import STEP, Home
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login, sign_in, token
from twinlock.testing.mail import MailTrap

NEW_PASSWORD = "a purple bicycle under water"
JOHN = "johndoe@example.com"


@pytest.fixture
def trap(house: House) -> MailTrap:
    return MailTrap(lambda: house.auth)


def ask(client: TestClient, **whom: str) -> Any:
    return client.post("/api/recovery/password", json=whom)


def confirm(client: TestClient, token: str, password: str = NEW_PASSWORD) -> Any:
    body = {"token": token, "password": password}
    return client.post("/api/recovery/password/confirm", json=body)


def linked(client: TestClient, trap: MailTrap) -> str:
    assert ask(client, email=JOHN).status_code == 202
    return trap.token(JOHN)


def test_a_mailed_link_sets_a_password_once_and_signs_nobody_in(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    tokens = sign_in(client)
    link = linked(client, trap)

    done = confirm(client, link)

    assert (done.status_code, done.json()) == (200, {"status": "password_changed"})
    assert "set-cookie" not in done.headers
    assert confirm(client, link, "another fine password").json()["type"] == "link_invalid"
    assert token(client, "johndoe", PASSWORD).status_code == 400
    assert token(client, "johndoe", NEW_PASSWORD).status_code == 200
    assert client.get("/users/me", headers=bearer(tokens)).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert client.post("/token", data=refresh).status_code == 400
    assert trap.subjects(JOHN)[-1] == "Twinlock: your password was changed"


def test_a_username_leads_to_the_same_mailbox(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()

    assert ask(client, username="JohnDoe").status_code == 202

    assert [str(one["To"]) for one in trap.messages()] == [JOHN]
    assert trap.link().startswith("http://localhost:8000/recovery/password/")


def test_the_answer_is_the_same_for_everybody(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    house.create("jane", is_email_verified=False)
    house.create("jim", password=None)
    gone = house.create("joan")
    house.administration.disable(gone, OPERATOR, now=house.now)
    names = ["johndoe", "jane", "jim", "joan", "nobody", "nobody@example.com", "a\0b", ""]

    answers = [client.post("/api/recovery/password", json={"username": name}) for name in names]

    told = {(one.status_code, one.text, tuple(sorted(one.headers))) for one in answers}
    assert len(told) == 1
    assert [str(one["To"]) for one in trap.messages()] == [JOHN]


@pytest.mark.parametrize("body", [{}, {"email": "a@example.com", "username": "a"}, {"email": 1}])
def test_exactly_one_name_is_taken(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/api/recovery/password", json=body).status_code == 422


def test_the_second_factor_stays(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    john = house.enroll(client)
    pending = begin_login(client)["login"]

    confirm(client, linked(client, trap))

    house.clock.advance(seconds=30)
    stale = {"login": pending, "answer": john.phone.code(house.now)}
    assert client.post("/api/login/totp", json=stale).status_code == 401
    login = begin_login(client, password=NEW_PASSWORD)
    assert login["status"] == "second_factor_required"
    answer = {"login": login["login"], "answer": john.phone.code(house.now)}
    assert client.post("/api/login/totp", json=answer).status_code == 200


def test_a_password_that_is_refused_does_not_spend_the_link(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    link = linked(client, trap)

    for bad in ("short", "password1", "x" * 1025, "johndoe1"):
        refused = confirm(client, link, bad)
        assert refused.status_code == 400
        assert refused.json()["type"].startswith("password_")

    assert confirm(client, link).status_code == 200


@pytest.mark.parametrize("seconds, status", [(1799, 200), (1800, 400)])
def test_a_link_lives_half_an_hour(
    house: House, client: TestClient, trap: MailTrap, seconds: int, status: int
) -> None:
    house.create()
    link = linked(client, trap)
    house.clock.advance(seconds=seconds)

    assert confirm(client, link).status_code == status


def test_a_link_dies_with_any_change(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    link = linked(client, trap)
    house.enroll(client)

    assert confirm(client, link).json()["type"] == "link_invalid"


def test_a_link_of_a_disabled_account_is_dead_and_stays_so(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    john = house.create()
    link = linked(client, trap)
    house.administration.disable(john, OPERATOR, now=house.now)
    house.administration.enable(house.account(), OPERATOR, now=house.now)

    assert confirm(client, link).json()["type"] == "link_invalid"


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é", "A" * 128])
def test_garbage_is_no_link(client: TestClient, token: str) -> None:
    assert confirm(client, token).json()["type"] == "link_invalid"


def test_a_link_does_only_what_it_was_made_for(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    link = linked(client, trap)

    for path in ("/api/recovery/email/confirm", "/api/recovery/email/cancel"):
        assert client.post(path, json={"token": link}).json()["type"] == "link_invalid"

    assert confirm(client, link).status_code == 200


def test_strangers_leave_the_last_mail_of_a_day_to_a_known_browser(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    house.create()
    browser = {"Origin": "http://localhost:8000"}
    body = {"username": "johndoe", "password": PASSWORD, "transport": "cookie"}
    known = house.client()
    signed_in = known.post("/api/login", json=body, headers=browser)
    secret = signed_in.cookies["__Host-twinlock-known"]
    known.cookies.clear()
    browser |= {"Cookie": f"__Host-twinlock-known={secret}"}
    stranger = house.client("192.0.2.7")

    for _ in range(7):
        assert ask(stranger, email=JOHN).status_code == 202
    assert len(trap.messages(JOHN)) == 4
    for _ in range(2):
        answer = known.post("/api/recovery/password", json={"email": JOHN}, headers=browser)
        assert answer.status_code == 202
    assert len(trap.messages(JOHN)) == 5

    house.clock.advance(hours=24, seconds=1)
    ask(stranger, email=JOHN)
    assert len(trap.messages(JOHN)) == 6


def test_a_network_asks_a_hundred_times_an_hour(house: House, client: TestClient) -> None:
    house.create()
    one = house.client("192.0.2.7")

    statuses = [ask(one, username=f"nobody{number}").status_code for number in range(101)]

    assert statuses == [202] * 100 + [429]
    assert ask(one, email=JOHN).headers["Retry-After"]
    assert ask(house.client("192.0.2.8"), email=JOHN).status_code == 202


def test_a_reset_does_not_lift_the_stop_of_short_codes(home: Home) -> None:
    trap = MailTrap(lambda: home.house.auth)
    for _ in range(100):
        home.house.clock.advance(hours=1)
        login = begin_login(home.client)["login"]
        wrong = {"login": login, "answer": "000000"}
        assert home.client.post("/api/login/totp", json=wrong).status_code == 401
    confirm(home.client, linked(home.client, trap))
    home.house.clock.advance(seconds=int(STEP.total_seconds()) * 4)
    login = begin_login(home.client, password=NEW_PASSWORD)["login"]

    answer = {"login": login, "answer": home.john.phone.code(home.house.now)}

    assert home.client.post("/api/login/totp", json=answer).status_code == 401


def test_another_sites_page_cannot_ask(client: TestClient) -> None:
    headers = {"Origin": "https://evil.example"}

    answer = client.post("/api/recovery/password", json={"email": JOHN}, headers=headers)

    assert answer.status_code == 403


def test_what_was_asked_is_in_the_history(house: House, client: TestClient, trap: MailTrap) -> None:
    house.create()
    confirm(client, linked(client, trap))
    tokens = sign_in(client, password=NEW_PASSWORD)

    events = client.get("/api/events", headers=bearer(tokens)).json()["events"]

    assert {"recovery.requested", "password.changed"} <= {one["type"] for one in events}


def test_a_restored_backup_voids_links_and_mails(
    house: House, client: TestClient, trap: MailTrap
) -> None:
    from twinlock.flows.installation import note_restored

    house.create()
    link = linked(client, trap)
    house.runtime.delivery.close()
    ask(client, email=JOHN)
    note_restored(house.runtime.parts, OPERATOR, now=house.now + timedelta(seconds=1))

    assert confirm(client, link).json()["type"] == "link_invalid"
    assert len(trap.messages(JOHN)) == 1
