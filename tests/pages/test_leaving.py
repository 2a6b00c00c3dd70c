"""Signing out by pages, and forgetting the device on the way."""

from tests.pages.browser import Browser
from tests.support.house import Enrolled, House

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
