"""A browser that is remembered is asked for the password alone, at the pages as well."""

from tests.pages.browser import Browser
from tests.support.house import PASSWORD, Enrolled, House


def test_a_remembered_browser_types_the_password_alone(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    sqlite_house.clock.advance(seconds=30)
    browser.sign_in()
    code = enrolled.phone.code(sqlite_house.now)
    browser.send("/login/totp", answer=code, trust_device="yes")
    browser.send("/logout")

    browser.sign_in()

    assert browser.path == "/account"


def test_a_browser_that_did_not_ask_is_not_remembered(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    browser.send("/logout")

    browser.sign_in("johndoe", PASSWORD)

    assert browser.path == "/login/totp"
