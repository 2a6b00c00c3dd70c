"""A first password that an operator gave: it opens nothing but its change, and says why."""

from datetime import timedelta

import pytest

from tests.pages.browser import Browser
from tests.support.house import BASE_URL, PASSWORD, House

NEW = "a purple bicycle under water"


@pytest.fixture
def newcomer(sqlite_house: House, browser: Browser) -> Browser:
    """Somebody who signs in with it for the first time."""
    sqlite_house.create("ana", password_expires_at=sqlite_house.now + timedelta(hours=24))
    browser.sign_in("ana")
    return browser


def test_it_leads_to_its_change_and_says_why(newcomer: Browser) -> None:
    assert newcomer.path == "/account/password?next=%2Faccount"
    assert "Somebody else made your first password." in newcomer.text
    for path in ("/account", "/events", "/factors/new", "/not-me", "/admin"):
        assert newcomer.open(path).url.path == "/account/password", path

    newcomer.open("/account")
    newcomer.send("/account/password", current_password=PASSWORD, new_password=NEW)

    assert newcomer.path == "/account"
    assert newcomer.open("/factors/new").status_code == 200


def test_no_form_goes_around_it(sqlite_house: House, newcomer: Browser) -> None:
    csrf = newcomer.form("/account/password").fields["csrf"]
    headers = {"Origin": BASE_URL, "Sec-Fetch-Site": "same-origin"}

    for path in ("/factors/totp", "/account/email", "/sessions/others/end", "/not-me"):
        data = {"csrf": csrf, "email": "else@example.com"}
        answer = newcomer.client.post(path, data=data, headers=headers, follow_redirects=False)
        assert answer.headers["location"] == "/account/password", path


def test_it_leads_on_to_the_page_that_was_wanted_and_never_elsewhere(newcomer: Browser) -> None:
    newcomer.open("/events?cursor=1")
    newcomer.send("/account/password", current_password="wrong", new_password=NEW)
    newcomer.send(
        "/account/password", current_password=PASSWORD, new_password=NEW, next="//evil.example"
    )
    assert newcomer.path == "/account"

    newcomer.open("/account/password?next=/events")
    newcomer.send("/account/password", current_password=NEW, new_password=PASSWORD)

    assert newcomer.path == "/events"
    assert "Your password is changed" in newcomer.text


def test_one_can_sign_out_instead(newcomer: Browser) -> None:
    assert 'href="/account"' not in newcomer.page.text  # it would only lead back

    newcomer.open(next(link for link in newcomer.read().links if link == "/logout"))
    newcomer.send("/logout")

    assert "You are signed out." in newcomer.text


def test_who_comes_back_to_it_late_proves_it_again_and_goes_on(
    sqlite_house: House, newcomer: Browser
) -> None:
    """The page asked for a proof and the proof for the page, for ever."""
    sqlite_house.clock.advance(minutes=11)
    newcomer.open("/account")
    assert newcomer.path.startswith("/reauthenticate")

    newcomer.send("/reauthenticate/password", answer=PASSWORD)
    newcomer.send("/account/password", current_password=PASSWORD, new_password=NEW)

    assert newcomer.path == "/account"
