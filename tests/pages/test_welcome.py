"""Invitations and registration at the pages: from the mail to the first second factor."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from tests.pages.browser import Browser
from tests.support.house import OPERATOR, PASSWORD, House, begin_login, token
from twinlock.flows.account_making import NewAccount
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

JANE = "jane@example.com"


@pytest.fixture
def open_house(sqlite_house: House) -> House:
    return sqlite_house.again(invitations_enabled=True, registration_enabled=True)


@pytest.fixture
def client(open_house: House) -> Iterator[TestClient]:
    with open_house.open() as client:
        yield client


@pytest.fixture
def trap(open_house: House) -> MailTrap:
    return MailTrap(lambda: open_house.auth)


@pytest.fixture
def visitor(open_house: House, client: TestClient) -> Browser:
    return Browser(open_house.client())


@pytest.fixture
def invitation(open_house: House, client: TestClient, trap: MailTrap) -> str:
    """The path of a mailed invitation."""
    open_house.create("root", roles=("admin",))
    root = open_house.enroll(client, "root")
    body = {"username": "jane", "email": JANE}
    sent = client.post("/api/admin/invitations", json=body, headers=root.bearer)
    assert sent.status_code == 201, sent.text
    return urlsplit(trap.link(JANE)).path


def set_up_an_app(house: House, visitor: Browser) -> None:
    visitor.send("/enrollment/totp")
    phone = FakeAuthenticator.from_uri(visitor.form("/confirm").fields["uri"])
    visitor.send("/totp/confirm", answer=phone.code(house.now))


def test_an_invitation_ends_in_a_password_and_a_second_factor(
    open_house: House, visitor: Browser, client: TestClient, invitation: str
) -> None:
    for _ in range(2):
        visitor.open(invitation)  # looking changes nothing
    assert "Welcome to Twinlock" in visitor.text
    assert "jane" in visitor.text
    refused = visitor.send(new_password="password")
    assert refused.status_code == 400

    visitor.send(new_password=PASSWORD)
    assert visitor.path == "/enrollment"
    assert "__Host-twinlock" not in visitor.client.cookies
    set_up_an_app(open_house, visitor)

    assert "Save your recovery codes" in visitor.text
    assert begin_login(client, "jane")["status"] == "second_factor_required"
    assert visitor.open(invitation).status_code == 404


def test_a_second_factor_that_nobody_demands_may_wait(
    visitor: Browser, client: TestClient, invitation: str
) -> None:
    visitor.open(invitation)
    visitor.send(new_password=PASSWORD)
    assert "Not now" in visitor.text
    assert "/login" in visitor.read().links

    visitor.sign_in("jane")

    assert visitor.path == "/account"


def test_whoever_registers_gets_an_account_by_the_link_of_the_mail(
    open_house: House, visitor: Browser, client: TestClient, trap: MailTrap
) -> None:
    visitor.open("/login")
    assert "/registration" in visitor.read().links
    visitor.open("/registration")
    wrong = visitor.send("/registration", email="nonsense")
    assert (wrong.status_code, visitor.form().fields["email"]) == (400, "nonsense")
    visitor.send("/registration", email=JANE)
    assert visitor.path == "/registration/sent"

    visitor.open(urlsplit(trap.link(JANE)).path)
    assert JANE in visitor.text
    taken = visitor.send(username="a b@c", full_name="Jane Doe", new_password=PASSWORD)
    assert taken.status_code == 400
    assert visitor.form().fields["full_name"] == "Jane Doe"
    assert PASSWORD not in visitor.page.text
    visitor.send(username="jane", new_password=PASSWORD)
    set_up_an_app(open_house, visitor)

    assert "Save your recovery codes" in visitor.text
    assert begin_login(client, "jane")["status"] == "second_factor_required"


def test_asking_to_register_is_answered_alike_for_every_address(
    open_house: House, visitor: Browser
) -> None:
    open_house.create()
    answers = set()
    for email in (JANE, "johndoe@example.com"):
        visitor.open("/registration")
        visitor.send("/registration", email=email)
        answers.add((visitor.path, visitor.page.status_code, visitor.page.text))

    assert len(answers) == 1


@pytest.mark.parametrize("path", ["/invitations/", "/registration/"])
def test_a_link_that_never_was_says_so(visitor: Browser, path: str) -> None:
    for secret in ("x" * 43, "x" * 5000, "%00"):
        assert visitor.open(path + secret).status_code in {400, 404, 414}


def test_a_form_of_another_browser_accepts_nothing(
    open_house: House, client: TestClient, invitation: str
) -> None:
    answer = open_house.client().post(
        invitation, data={"new_password": PASSWORD}, headers={"Origin": "http://localhost:8000"}
    )

    assert answer.status_code == 403
    assert token(client, "jane", PASSWORD).status_code == 400


def test_where_registration_is_off_there_is_no_page(sqlite_house: House, browser: Browser) -> None:
    assert browser.open("/registration").status_code == 404
    browser.open("/login")
    assert "/registration" not in browser.read().links


def test_the_page_says_who_invited_to_who_holds_the_link(
    open_house: House, visitor: Browser, client: TestClient, invitation: str, trap: MailTrap
) -> None:
    visitor.open(invitation)
    assert "John Doe invited you." in visitor.text
    visitor.open(invitation[:-1] + ("A" if invitation[-1] != "A" else "B"))
    assert "John Doe" not in visitor.text

    open_house.runtime.invitations.invite(
        NewAccount("joe", "joe@example.com"), OPERATOR, now=open_house.now
    )
    visitor.open(urlsplit(trap.link("joe@example.com")).path)

    assert "You are invited." in visitor.text


def test_the_name_of_who_invited_is_text_and_turns_no_sentence(
    open_house: House, visitor: Browser, client: TestClient, trap: MailTrap
) -> None:
    name = "<b>\N{HEBREW LETTER ALEF} & co"
    open_house.create("boss", roles=("admin",), full_name=name)
    headers = open_house.enroll(client, "boss").bearer
    body = {"username": "jim", "email": "jim@example.com"}
    assert client.post("/api/admin/invitations", json=body, headers=headers).status_code == 201

    page = visitor.open(urlsplit(trap.link("jim@example.com")).path).text

    assert f"<bdi>{escape(name)}</bdi> invited you." in page
