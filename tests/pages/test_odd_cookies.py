"""What strangers put into links and cookies of ours breaks no page."""

import pytest

from tests.pages.browser import Browser
from tests.pages.test_enrollment import reset
from tests.support.house import House


@pytest.mark.parametrize("token", ["%E2%82%AC", "a%0Ab", "a%3B%20b", "%00", "%22%5C", "%C3%A9"])
def test_a_link_of_any_characters_is_kept_or_refused(
    sqlite_house: House, browser: Browser, token: str
) -> None:
    browser.open("/login")
    assert browser.client.get(f"/enrollment/link/{token}", follow_redirects=False).status_code < 500


@pytest.mark.parametrize("typed", ["€", "a\nb", "\x00", 'a"b', "é", "a;b"])
def test_a_typed_link_of_any_characters_is_refused(
    sqlite_house: House, browser: Browser, typed: str
) -> None:
    reset(sqlite_house)
    browser.sign_in()
    assert browser.send("/link", token=typed).status_code < 500


def test_steps_from_another_age_are_none(sqlite_house: House, browser: Browser) -> None:
    browser.sign_in()
    browser.client.cookies.set("__Host-twinlock-steps", "999999999999")
    assert browser.client.get("/not-me").status_code == 200


@pytest.mark.parametrize(
    "value", ["x~.~link", "x~totp.foo~none", "x~foo.../etc~none", "~~", '"~totp~none']
)
def test_a_made_up_login_shows_no_error(sqlite_house: House, browser: Browser, value: str) -> None:
    browser.client.cookies.set("__Host-twinlock-enrollment", value)
    assert browser.client.get("/enrollment").status_code < 500
