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


def test_what_was_asked_with_the_password_is_carried_to_the_second_step(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    sqlite_house.clock.advance(seconds=30)
    browser.open("/login")
    browser.send("/login", username="johndoe", password="wrong", trust_device="yes")
    browser.send("/login", username="johndoe", password=PASSWORD)
    browser.send("/login/totp", answer="000000")
    browser.send("/login/totp", answer=enrolled.phone.code(sqlite_house.now))
    browser.send("/logout")

    browser.sign_in()

    assert browser.path == "/account"


def test_the_last_choice_counts(sqlite_house: House, browser: Browser, enrolled: Enrolled) -> None:
    sqlite_house.clock.advance(seconds=30)
    browser.open("/login")
    browser.send("/login", username="johndoe", password=PASSWORD, trust_device="yes")
    browser.send("/login/totp", answer=enrolled.phone.code(sqlite_house.now), trust_device="")
    browser.send("/logout")

    browser.sign_in()

    assert browser.path == "/login/totp"
