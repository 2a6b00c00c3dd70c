"""A browser whose last sign-in was by a passkey alone is asked for a passkey first."""

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.pages.guide import answer_of
from tests.support.house import PASSWORD, House, sign_in
from twinlock.testing.authenticator import FakeAuthenticator

WAY = "__Host-twinlock-way"
FIRST = "Use a password instead"


@pytest.fixture
def device(sqlite_house: House, browser: Browser, client: TestClient) -> FakeAuthenticator:
    """Johndoe has a passkey."""
    device = FakeAuthenticator()
    sqlite_house.enroll_passkey(client, device, sign_in(client, "johndoe"))
    return device


def by_passkey_alone(browser: Browser, device: FakeAuthenticator) -> None:
    browser.open("/login?next=/events")
    browser.send("/passkey", answer=answer_of(browser, device))


def test_a_passkey_comes_first_where_it_was_used_the_last_time(
    browser: Browser, device: FakeAuthenticator
) -> None:
    browser.open("/login")
    assert "Step 1 of 2" in browser.text
    assert FIRST not in browser.text

    by_passkey_alone(browser, device)
    assert browser.path == "/events"
    assert browser.client.cookies[WAY] == "passkey"  # and no name
    browser.send("/logout")
    page = browser.open("/login").text

    assert "One step" in browser.text
    assert [form.action for form in browser.read().forms] == ["/passkey", "/login"]
    assert page.count("btn main") + page.count("full main") == 1
    assert "<details data-instead>" in page
    by_passkey_alone(browser, device)
    assert browser.path == "/events"


def test_after_an_error_the_password_is_there_and_the_passkey_too(
    browser: Browser, device: FakeAuthenticator
) -> None:
    by_passkey_alone(browser, device)
    browser.send("/logout")

    browser.sign_in("johndoe", "wrong")
    assert "<details data-instead open>" in browser.page.text
    browser.send("/passkey", answer=answer_of(browser, device))

    assert browser.path == "/account"


def test_a_password_that_led_in_comes_first_the_next_time(
    browser: Browser, device: FakeAuthenticator
) -> None:
    by_passkey_alone(browser, device)
    browser.send("/logout")

    browser.sign_in("johndoe", PASSWORD)
    browser.send("/login/passkey", answer=answer_of(browser, device))

    assert browser.path == "/account"
    assert WAY not in browser.client.cookies
    browser.send("/logout")
    browser.open("/login")
    assert FIRST not in browser.text


@pytest.mark.parametrize("path", ["", "?next=/events"])
def test_a_denied_sign_in_offers_the_passkey_again(
    browser: Browser, device: FakeAuthenticator, path: str
) -> None:
    browser.open(f"/login{path}")
    browser.send("/login", username="johndoe", password="wrong")
    assert browser.page.status_code == 401

    browser.send("/passkey", answer=answer_of(browser, device))

    assert browser.path == ("/events" if path else "/account")


@pytest.mark.parametrize("planted", ["x", "passkey2", "PASSKEY"])
def test_a_planted_cookie_of_another_value_changes_nothing(browser: Browser, planted: str) -> None:
    browser.client.cookies.set(WAY, planted)

    browser.open("/login")

    assert FIRST not in browser.text
