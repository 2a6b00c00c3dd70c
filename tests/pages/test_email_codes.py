"""Codes by mail at the pages: set up, asked for, sent again, refused; without JavaScript."""

from collections.abc import Iterator

import pytest

from tests.factors.suite import code_in
from tests.pages.browser import Browser
from tests.support.house import House
from twinlock.testing.mail import MailTrap

JOHN = "johndoe@example.com"


@pytest.fixture
def mailing(sqlite_house: House) -> Iterator[House]:
    """A server that mails codes, where johndoe has an account."""
    house = sqlite_house.again(email_codes_enabled=True)
    with house.open():
        house.create()
        yield house


@pytest.fixture
def trap(mailing: House) -> MailTrap:
    return MailTrap(lambda: mailing.auth)


@pytest.fixture
def enrolled(mailing: House, trap: MailTrap) -> Browser:
    """A browser that was signed out again, whose owner gets codes by mail."""
    browser = Browser(mailing.client())
    browser.sign_in()
    browser.open("/factors/new")
    browser.send("/factors/email_code")
    assert "We sent a code to j•••@example.com." in browser.text
    wrong = browser.send("/confirm", answer="000000", label="My mailbox")
    assert wrong.status_code == 400
    assert "We sent a code to j•••@example.com." in browser.text
    browser.send("/confirm", answer=code_in(trap, JOHN))
    assert "Save your recovery codes" in browser.text
    browser.open("/account")
    assert "My mailbox" in browser.text
    browser.send("/logout")
    return browser


def test_a_code_goes_out_when_it_is_asked_for_and_signs_in_once(
    enrolled: Browser, trap: MailTrap
) -> None:
    sent = len(trap.messages())
    enrolled.sign_in(to="/login?next=/events")
    assert enrolled.path == "/login/email_code?next=%2Fevents"
    enrolled.open(enrolled.path)
    assert len(trap.messages()) == sent

    enrolled.send("/send")
    assert "We sent a code to j•••@example.com. It works for 10 minutes." in enrolled.text
    wrong = enrolled.send("/login/email_code", answer="000000")
    assert (wrong.status_code, "That code was not accepted." in enrolled.text) == (401, True)
    code = code_in(trap, JOHN)
    enrolled.send("/login/email_code", answer=f"{code[:3]} {code[3:]}")

    assert enrolled.path == "/events"


def test_a_code_that_is_sent_again_voids_the_older_one(enrolled: Browser, trap: MailTrap) -> None:
    enrolled.sign_in()
    enrolled.send("/send")
    older = code_in(trap, JOHN)
    enrolled.send("/send")
    newer = code_in(trap, JOHN)
    form = [one for one in enrolled.read().forms if one.action == "/login/email_code"]
    assert form

    if older != newer:
        assert enrolled.send("/login/email_code", answer=older).status_code == 401
    enrolled.send("/login/email_code", answer=newer)

    assert enrolled.path == "/account"


def test_too_many_codes_have_to_wait(enrolled: Browser) -> None:
    for _ in range(25):
        enrolled.sign_in()
        if enrolled.send("/send").status_code == 429:
            break

    assert enrolled.page.status_code == 429
    assert int(enrolled.page.headers["retry-after"]) > 0
    assert "Please wait" in enrolled.text


def test_no_other_site_has_a_code_sent(mailing: House, enrolled: Browser, trap: MailTrap) -> None:
    enrolled.sign_in()
    sent = len(trap.messages())
    fields = enrolled.form("/send").fields

    for forged in ({**fields, "csrf": "0" * 64}, fields):
        enrolled.client.post(
            "/login/email_code/send", data=forged, headers={"Origin": "https://evil.example"}
        )

    assert len(trap.messages()) == sent


def test_a_code_proves_it_again(mailing: House, enrolled: Browser, trap: MailTrap) -> None:
    enrolled.sign_in()
    enrolled.send("/send")
    enrolled.send("/login/email_code", answer=code_in(trap, JOHN))
    mailing.clock.advance(minutes=11)
    enrolled.open("/account/password")
    assert enrolled.path.startswith("/reauthenticate")
    assert "It is sent when you ask for it." in enrolled.text

    enrolled.send("/send")
    enrolled.send("/reauthenticate/email_code", answer=code_in(trap, JOHN))

    assert enrolled.path == "/account/password"


def test_where_codes_are_off_none_is_offered(sqlite_house: House, browser: Browser) -> None:
    browser.sign_in()
    browser.open("/factors/new")

    assert "Code by e-mail" not in browser.text
