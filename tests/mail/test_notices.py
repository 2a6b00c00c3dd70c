"""The owner is told of what happens to the account; nobody else is."""

import pytest

from tests.support.home import WRONG_CODE, Home
from tests.support.house import OPERATOR, PASSWORD, House, bearer, begin_login
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
        assert label in text.get_content()
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
