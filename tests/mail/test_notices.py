"""The owner is told of what happens to the account; nobody else is."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.support.home import WRONG_CODE, Home
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login
from twinlock.core.proof import Acr
from twinlock.mail.values import harmless
from twinlock.policies.policy import Kind as PolicyKind
from twinlock.policies.policy import Policy
from twinlock.testing.mail import MailTrap

JOHN = "johndoe@example.com"


@pytest.fixture
def trap(home: Home) -> MailTrap:
    return MailTrap(lambda: home.house.auth)


def test_of_factors_and_codes(sqlite_house: House) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open() as client:
        sqlite_house.create()
        john = sqlite_house.enroll(client)
        headers = john.bearer
        made = client.post("/api/factors/recovery_codes", json={}, headers=headers).json()
        headers = bearer(made)
        listed = client.get("/api/factors", headers=headers).json()["factors"]
        client.delete(f"/api/factors/{listed[0]['id']}", headers=headers)

        assert trap.subjects(JOHN) == [
            "Twinlock: a second factor was added",
            "Twinlock: new recovery codes",
            "Twinlock: a second factor was removed",
        ]


def test_of_a_used_recovery_code(home: Home, trap: MailTrap) -> None:
    login = begin_login(home.client)["login"]
    answer = {"login": login, "answer": home.john.recovery_codes[0]}

    assert home.client.post("/api/login/recovery_codes", json=answer).status_code == 200

    assert "Twinlock: a recovery code was used" in trap.subjects(JOHN)


def test_of_a_new_password(home: Home, trap: MailTrap) -> None:
    body = {"current_password": PASSWORD, "new_password": "a purple bicycle under water"}
    headers = home.john.bearer

    assert home.client.post("/api/account/password", json=body, headers=headers).status_code == 200

    assert trap.subjects(JOHN)[-1] == "Twinlock: your password was changed"


def test_of_a_wrong_code_after_the_right_password_once_an_hour(home: Home, trap: MailTrap) -> None:
    def wrong_code() -> None:
        login = begin_login(home.client)["login"]
        body = {"login": login, "answer": WRONG_CODE}
        assert home.client.post("/api/login/totp", json=body).status_code == 401
        form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
        form |= {"otp": WRONG_CODE}
        assert home.client.post("/token", data=form).status_code == 400

    def warned() -> int:
        return trap.subjects().count("Twinlock: a sign-in was refused")

    wrong_code()
    assert warned() == 1
    wrong_code()
    assert warned() == 1
    home.house.clock.advance(hours=1, seconds=1)
    wrong_code()
    assert warned() == 2


def test_a_wrong_password_warns_nobody(home: Home, trap: MailTrap) -> None:
    before = len(trap.messages())
    for name in ("johndoe", "nobody"):
        form = {"grant_type": "password", "username": name, "password": "wrong horse battery"}
        assert home.client.post("/token", data=form | {"otp": WRONG_CODE}).status_code == 400

    assert len(trap.messages()) == before


def test_of_what_an_operator_did_at_the_old_address(home: Home, trap: MailTrap) -> None:
    house = home.house
    house.administration.change(house.account(), OPERATOR, email="john@example.org", now=house.now)
    house.factor_administration.reset(house.account(), OPERATOR, now=house.now)

    assert "Twinlock: your e-mail address was changed" in trap.subjects(JOHN)
    assert trap.subjects("john@example.org") == ["Twinlock: your second factors were removed"]


def test_an_unverified_address_gets_nothing(sqlite_house: House) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open() as client:
        sqlite_house.create(is_email_verified=False)
        due = sqlite_house.now + timedelta(days=7)
        policy = Policy(PolicyKind.EVERYONE, "", Acr.AAL2, due)  # which waits for no mailbox
        sqlite_house.policy_administration.set_policy(policy, OPERATOR, now=sqlite_house.now)
        sqlite_house.enroll(client)

        assert trap.messages() == []


def test_a_change_that_is_undone_tells_nothing(sqlite_house: House) -> None:
    """The mail is written in the transaction of what it tells."""
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open():
        sqlite_house.create()
        sqlite_house.create("jane")
        done = sqlite_house.administration.change(
            sqlite_house.account(), OPERATOR, email="jane@example.com", now=sqlite_house.now
        )

        assert getattr(done, "code", None) == "taken"
        assert trap.messages() == []


def test_a_label_cannot_bend_a_mail(sqlite_house: House) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)
    label = "<a href='https://evil.example'>{link}</a> %s"
    with sqlite_house.open() as client:
        sqlite_house.create()
        john = sqlite_house.enroll(client)
        factor = client.get("/api/factors", headers=john.bearer).json()["factors"][0]["id"]
        client.patch(f"/api/factors/{factor}", json={"label": label}, headers=john.bearer)
        client.delete(f"/api/factors/{factor}", headers=john.bearer)

        message = trap.messages(JOHN)[-1]
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        assert text is not None
        assert html is not None
        assert harmless(label) in text.get_content()
        assert "https://evil" not in message.as_string()
        assert "<a href='" not in html.get_content()


def test_five_of_a_kind_a_day(sqlite_house: House) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open() as client:
        sqlite_house.create()
        headers = sqlite_house.enroll(client).bearer
        for _ in range(7):
            made = client.post("/api/factors/recovery_codes", json={}, headers=headers).json()
            headers = bearer(made)

        assert trap.subjects().count("Twinlock: new recovery codes") == 5


def test_of_a_sign_in_from_a_new_place_once(home: Home, trap: MailTrap) -> None:
    def signed_in(client: TestClient) -> list[str]:
        before = len(trap.messages())
        form = {"grant_type": "password", "username": "johndoe"}
        form["password"] = PASSWORD + home.code()
        assert client.post("/token", data=form).status_code == 200
        return trap.subjects(JOHN)[before:]

    new = ["Twinlock: a sign-in from a new place"]

    assert signed_in(home.client) == []
    elsewhere = home.from_address("192.0.2.77")
    assert signed_in(elsewhere) == new
    assert "192.0.2.77" in trap.messages(JOHN)[-1].as_string()
    assert signed_in(elsewhere) == []
    assert signed_in(home.client) == []


def test_the_first_sign_in_of_all_is_from_no_new_place(sqlite_house: House) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)
    with sqlite_house.open() as client:
        sqlite_house.create()
        form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
        assert client.post("/token", data=form).status_code == 200

        assert trap.messages(JOHN) == []


def test_a_browser_that_is_known_is_no_new_place_anywhere(home: Home, trap: MailTrap) -> None:
    """Who travels with a laptop hears nothing; who copies no cookie is heard of."""
    origin = {"Origin": "http://localhost:8000"}

    def signed_in(client: TestClient, cookies: dict[str, str]) -> dict[str, str]:
        login = begin_login(home.client)["login"]
        body = {"login": login, "answer": home.code(), "transport": "cookie"}
        client.cookies.update(cookies)
        done = client.post("/api/login/totp", json=body, headers=origin)
        assert done.status_code == 200, done.text
        return {name: value for name, value in done.cookies.items() if "known" in name}

    known = signed_in(home.client, {})
    before = len(trap.messages())
    signed_in(home.from_address("192.0.2.78"), known)
    assert len(trap.messages()) == before

    signed_in(home.from_address("192.0.2.79"), {})
    assert trap.subjects(JOHN)[before:] == ["Twinlock: a sign-in from a new place"]


def test_of_a_browser_that_is_remembered(home: Home, trap: MailTrap) -> None:
    login = home.begin()
    body = {"login": login, "answer": home.code(), "trust_device": True}

    assert home.client.post("/api/login/totp", json=body).status_code == 200

    assert trap.subjects(JOHN)[-1] == "Twinlock: a browser is remembered"
