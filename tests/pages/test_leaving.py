"""Signing out by pages, and forgetting the device on the way."""

import pytest

from tests.pages.browser import Browser
from tests.pages.test_enrollment import demand, phone_on, reset
from tests.support.house import PASSWORD, Enrolled, House

DEVICE = "__Host-twinlock-device"


def remembered(house: House, browser: Browser, enrolled: Enrolled) -> str:
    """Sign in with both factors and be remembered; return the device's cookie."""
    house.clock.advance(seconds=30)
    browser.sign_in()
    browser.send("/login/totp", answer=enrolled.phone.code(house.now), trust_device="yes")
    return str(browser.client.cookies[DEVICE])


def devices(house: House) -> int:
    rows = house.database.reading(
        lambda db: db.exec_driver_sql("SELECT count(*) FROM trusted_device").scalar_one()
    )
    return int(rows)


def test_the_page_for_signing_out_asks_and_changes_nothing(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)

    browser.open("/logout")

    assert "Sign out?" in browser.text
    assert "forget" not in browser.text
    browser.open("/account")
    assert browser.path == "/account"


def test_a_device_is_forgotten_with_the_session_where_one_asks_for_it(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    remembered(sqlite_house, browser, enrolled)
    browser.open("/logout")
    assert "Also forget this device" in browser.text

    browser.send("/logout", forget_device="yes")

    assert "That device is forgotten." in browser.text
    assert devices(sqlite_house) == 0
    assert DEVICE not in browser.client.cookies
    browser.sign_in()
    assert browser.path == "/login/totp"
    sqlite_house.clock.advance(seconds=30)
    browser.send("/login/totp", answer=enrolled.phone.code(sqlite_house.now))
    browser.open("/events")
    assert "a device" in browser.text.lower()


def test_a_box_that_is_not_ticked_leaves_the_device_remembered(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    remembered(sqlite_house, browser, enrolled)
    browser.open("/logout")

    browser.send("/logout")

    assert devices(sqlite_house) == 1
    browser.sign_in()
    assert browser.path == "/account"


def test_who_has_signed_out_can_still_forget_the_device(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    remembered(sqlite_house, browser, enrolled)
    browser.send("/logout")
    assert "Forget this device" in browser.text

    browser.send("/logout/device")

    assert "That device is forgotten." in browser.text
    assert "Forget this device" not in browser.text
    assert devices(sqlite_house) == 0


def test_forgetting_ends_what_the_device_opened_elsewhere(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    remembered(sqlite_house, browser, enrolled)
    browser.send("/logout")
    browser.sign_in()  # by the device
    thief = Browser(sqlite_house.client("192.0.2.7"))
    thief.client.cookies.set("__Host-twinlock", browser.client.cookies["__Host-twinlock"])
    assert thief.open("/account").url.path == "/account"
    browser.client.cookies.delete("__Host-twinlock")  # it never signs out

    browser.open("/logout")
    browser.send("/logout/device")

    thief.open("/account")
    assert thief.path == "/login?next=%2Faccount"


def test_only_a_page_of_this_browser_and_the_newest_cookie_forget_a_device(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    old = remembered(sqlite_house, browser, enrolled)
    browser.send("/logout")
    browser.send("/logout/device", csrf="x")
    assert browser.page.status_code == 403
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    crossed = browser.client.post("/logout/device", data={"csrf": "x"}, headers=headers)
    assert crossed.status_code == 403
    browser.sign_in()  # the cookie is another one from now on
    for cookie in (old, "nonsense", f"{old.partition('.')[0]}.", f"{'0' * 22}.x"):
        other = Browser(sqlite_house.client("192.0.2.9"))
        other.client.cookies.set(DEVICE, cookie)
        other.open("/logout")
        other.send("/logout/device")
        assert "That device is forgotten." in other.text  # one answer, whatever it was

    assert devices(sqlite_house) == 1


LOGIN, ENROLLMENT, RESET = (f"__Host-twinlock-{name}" for name in ("login", "enrollment", "reset"))


def test_a_login_that_waits_for_a_code_is_left_for_good(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    """Who leaves a shared computer after the password leaves nothing that goes on."""
    browser.sign_in()
    kept = browser.client.cookies[LOGIN]
    browser.open("/login/help")
    assert "Stop signing in" in browser.text
    browser.open(next(one for one in browser.read().links if one.startswith("/login/")))
    assert browser.path == "/login/totp"  # help does not cost the password
    browser.open("/logout")
    assert "Stop signing in?" in browser.text
    browser.open(next(one for one in browser.read().links if "/login/" in one))  # go on
    assert browser.path == "/login/totp"

    browser.open("/logout")
    browser.send("/logout/login")

    assert "This sign-in is stopped. Nothing was opened." in browser.text
    assert LOGIN not in browser.client.cookies
    browser.keep_cookie(LOGIN, kept)  # whoever had a copy
    browser.open("/login/totp")
    sqlite_house.clock.advance(seconds=30)
    denied = browser.send("/login/totp", answer=enrolled.phone.code(sqlite_house.now))
    assert denied.status_code == 401
    assert "__Host-twinlock" not in browser.client.cookies


def test_a_login_that_waits_for_a_second_factor_is_left_for_good(
    sqlite_house: House, browser: Browser
) -> None:
    """Else whoever comes next sets up an authenticator of theirs, and is in."""
    demand(sqlite_house)
    browser.sign_in()
    phone = phone_on(browser)
    form, kept = browser.form("/confirm"), browser.client.cookies[ENROLLMENT]
    assert 'href="/logout"' in browser.page.text

    browser.open("/logout")
    browser.send("/logout/login")

    assert ENROLLMENT not in browser.client.cookies
    browser.keep_cookie(ENROLLMENT, kept)
    assert "has run out" in (browser.open("/enrollment"), browser.text)[1]
    browser.open("/login")  # for the token of a form
    fields = {**form.fields, "csrf": browser.form("/login").fields["csrf"]}
    browser.client.post(
        "/enrollment/totp/confirm", data={**fields, "answer": phone.code(sqlite_house.now)}
    )
    assert "__Host-twinlock" not in browser.client.cookies


def test_the_link_of_a_reset_goes_with_the_login(sqlite_house: House, browser: Browser) -> None:
    link = reset(sqlite_house)
    browser.sign_in()
    browser.send("/enrollment/link", token=link)
    assert RESET in browser.client.cookies

    browser.open("/logout")
    browser.send("/logout/login")

    assert not {RESET, ENROLLMENT, LOGIN} & set(browser.client.cookies)


def test_only_a_page_of_this_browser_stops_a_login(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in()
    browser.open("/logout")

    assert browser.send("/logout/login", csrf="x").status_code == 403
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (
        browser.client.post("/logout/login", data={"csrf": "x"}, headers=headers).status_code == 403
    )
    browser.open("/login/totp")
    sqlite_house.clock.advance(seconds=30)
    browser.send("/login/totp", answer=enrolled.phone.code(sqlite_house.now))

    assert browser.path == "/account"


@pytest.mark.parametrize("cookie", ["x", "~", "~~~~~", "x~totp~0~~~", "%E2%82%AC~a", "a" * 3000])
def test_a_made_up_login_is_left_like_any_other(
    sqlite_house: House, browser: Browser, cookie: str
) -> None:
    browser.keep_cookie(LOGIN, cookie)
    browser.open("/logout")
    if any(form.action == "/logout/login" for form in browser.read().forms):
        browser.send("/logout/login")

    assert "You are signed out." in browser.text


def test_signing_out_leaves_a_login_that_waits_as_well(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in()
    kept = browser.client.cookies[LOGIN]
    sqlite_house.clock.advance(seconds=30)
    other = Browser(sqlite_house.client())
    other.sign_in()
    other.send("/login/totp", answer=enrolled.phone.code(sqlite_house.now))
    other.keep_cookie(LOGIN, kept)

    other.open("/logout")
    other.send("/logout")

    sqlite_house.clock.advance(seconds=30)
    answer = enrolled.phone.code(sqlite_house.now)
    assert browser.send("/login/totp", answer=answer).status_code == 401
    assert PASSWORD not in other.page.text
