"""A second factor that is demanded: set up by pages, inside the sign-in, without JavaScript."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.support.house import BASE_URL, OPERATOR, PASSWORD, Enrolled, House, token
from twinlock.core.proof import Acr
from twinlock.flows.factor_administration import Removed
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator

RUN_OUT = "This sign‑in has run out"


def demand(house: House, acr: Acr = Acr.AAL2, *, in_days: int = 0, **more: object) -> None:
    since = house.now + timedelta(days=in_days)
    policy = Policy(Kind.EVERYONE, "", acr, since=since, **more)  # type: ignore[arg-type]
    done = house.policy_administration.set_policy(policy, OPERATOR, now=house.now)
    assert isinstance(done, Policy), done


def reset(house: House) -> str:
    done = house.factor_administration.reset(house.account(), OPERATOR, now=house.now)
    assert isinstance(done, Removed)
    assert done.link is not None
    return done.link


def phone_on(browser: Browser) -> FakeAuthenticator:
    """Begin with an app, and scan the key of the page."""
    browser.send("/totp")
    return FakeAuthenticator.from_uri(browser.form("/confirm").fields["uri"])


def session(browser: Browser) -> str | None:
    return browser.client.cookies.get("__Host-twinlock")


def test_a_demanded_factor_is_set_up_and_leads_where_one_wanted_to_go(
    sqlite_house: House, browser: Browser
) -> None:
    demand(sqlite_house)
    browser.sign_in(to="/login?next=/events")
    assert browser.path == "/enrollment?next=%2Fevents"
    assert session(browser) is None

    phone = phone_on(browser)
    wrong = browser.send("/totp/confirm", answer="000000", label="My phone")
    assert (wrong.status_code, session(browser)) == (400, None)
    assert browser.form("/confirm").fields["label"] == "My phone"
    browser.send("/totp/confirm", answer=phone.code(sqlite_house.now))
    codes = browser.page.text.split("<li>")[1:11]
    assert len(codes) == 10
    browser.open(next(one for one in browser.read().links if "/check" in one))
    browser.send("/check", answer=codes[4].partition("<")[0])

    assert browser.path == "/events"
    browser.open("/account")
    assert "My phone" in browser.text
    assert "__Host-twinlock-enrollment" not in browser.client.cookies


def test_nothing_opens_before_the_factor_is_confirmed(
    sqlite_house: House, browser: Browser
) -> None:
    demand(sqlite_house)
    browser.sign_in()
    phone_on(browser)

    for path in ("/account", "/events", "/factors/new", "/not-me"):
        assert browser.open(path).url.path == "/login"


def test_five_wrong_codes_end_the_enrollment_and_another_one_begins(
    sqlite_house: House, browser: Browser
) -> None:
    demand(sqlite_house)
    browser.sign_in()
    phone = phone_on(browser)
    for _ in range(5):
        browser.send("/totp/confirm", answer="000000")

    over = browser.send("/totp/confirm", answer=phone.code(sqlite_house.now))

    assert over.status_code == 400
    assert "This square is too old" in browser.text
    assert session(browser) is None
    browser.open("/enrollment")
    browser.send("/totp/confirm" if "confirm" in browser.page.text else "/totp")
    assert "Set up your authenticator app" in browser.text


def test_a_login_that_waited_too_long_starts_again(sqlite_house: House, browser: Browser) -> None:
    demand(sqlite_house)
    browser.sign_in()
    phone = phone_on(browser)
    sqlite_house.clock.advance(minutes=16)

    browser.send("/totp/confirm", answer=phone.code(sqlite_house.now))

    assert RUN_OUT in browser.text
    assert session(browser) is None


def test_the_form_of_an_enrollment_counts_in_its_own_browser_only(
    sqlite_house: House, browser: Browser
) -> None:
    demand(sqlite_house)
    browser.sign_in()
    phone = phone_on(browser)
    fields = {**browser.form("/confirm").fields, "answer": phone.code(sqlite_house.now)}
    thief = sqlite_house.client()
    thief.base_url = browser.client.base_url

    stolen = thief.post("/enrollment/totp/confirm", data=fields, headers={"Origin": BASE_URL})
    fields["csrf"] = "0" * 64
    forged = browser.client.post(
        "/enrollment/totp/confirm", data=fields, headers={"Origin": BASE_URL}
    )

    assert RUN_OUT in stolen.text
    assert RUN_OUT in forged.text
    assert (
        "set-cookie" not in stolen.headers or "__Host-twinlock=" not in stolen.headers["set-cookie"]
    )


def test_after_a_reset_the_link_is_asked_for_on_top_of_the_password(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    link = reset(sqlite_house)
    browser.sign_in()
    assert "Your second factor was reset" in browser.text

    browser.send("/link", token="x" * 43)
    refused = browser.send("/totp")
    assert refused.status_code == 401
    assert "That link was not accepted." in browser.text

    browser.send("/link", token=f" {BASE_URL}/enrollment/link/{link} ")
    phone = phone_on(browser)
    browser.send("/totp/confirm", answer=phone.code(sqlite_house.now))
    assert "Save your recovery codes" in browser.text
    assert session(browser)


def test_a_link_that_was_opened_first_waits_for_the_password(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    link = reset(sqlite_house)
    browser.open(f"/enrollment/link/{link}")
    assert browser.path == "/login"
    assert "Your link is kept in this browser." in browser.text
    assert session(browser) is None

    browser.send("/login", username="johndoe", password=PASSWORD)
    phone = phone_on(browser)
    browser.send("/totp/confirm", answer=phone.code(sqlite_house.now))

    assert session(browser)


def test_a_policy_of_tomorrow_is_shown_and_may_wait(sqlite_house: House, browser: Browser) -> None:
    demand(sqlite_house, in_days=3)
    browser.sign_in(to="/login?next=/events")

    assert browser.path == "/factors/new?next=%2Fevents"
    assert "will ask you for it at every sign-in" in browser.text
    assert "/events" in browser.read().links  # not now
    browser.open("/account")
    assert "will ask for more at your sign-in" in browser.text


def test_only_what_the_policy_accepts_is_offered(sqlite_house: House, browser: Browser) -> None:
    demand(sqlite_house, methods=("totp",))
    browser.sign_in()

    assert [form.action for form in browser.read().forms] == ["/enrollment/totp"]


def test_the_last_factor_that_is_demanded_cannot_be_removed(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    demand(sqlite_house)
    browser.open(next(link for link in browser.read().links if link.endswith("/remove")))

    answer = browser.send("/remove")

    assert answer.status_code == 400
    assert "Add another one first, then remove this." in browser.text


@pytest.mark.parametrize("path", ["/enrollment", "/enrollment?next=//evil.example"])
def test_without_a_login_there_is_nothing_to_enroll(browser: Browser, path: str) -> None:
    browser.open(path)

    assert RUN_OUT in browser.text
    assert "//evil" not in browser.page.text


def test_the_api_of_such_an_account_still_says_so(
    sqlite_house: House, browser: Browser, client: TestClient
) -> None:
    demand(sqlite_house)

    assert token(client, "johndoe", PASSWORD).json()["error"] == "enrollment_required"


def test_the_page_says_who_asks_for_it_and_since_when(
    sqlite_house: House, browser: Browser
) -> None:
    since = sqlite_house.now - timedelta(days=40)
    day = f"{since:%b} {since.day}, {since.year}"
    work = sqlite_house.policy_administration
    rules = (
        (Policy(Kind.EVERYONE, "", Acr.AAL2, since=since), "asks everyone for two factors"),
        (Policy(Kind.ROLE, "editor", Acr.PHR, since=since), "asks you for a passkey"),
    )
    sqlite_house.create("ed", roles=("editor",))
    for (policy, words), name in zip(rules, ("johndoe", "ed"), strict=True):
        assert isinstance(work.set_policy(policy, OPERATOR, now=sqlite_house.now), Policy)
        someone = Browser(sqlite_house.client())
        someone.sign_in(name)

        text = f'Twinlock {words} since <time datetime="{since:%Y-%m-%d}">{day}</time>.'
        assert text in someone.page.text

    work.remove_policy(Kind.EVERYONE, "", OPERATOR, now=sqlite_house.now)
    browser.open("/enrollment")
    assert "since" not in browser.text


def test_after_a_reset_it_says_so_instead_of_naming_a_policy(
    sqlite_house: House, browser: Browser
) -> None:
    link = reset(sqlite_house)
    browser.sign_in()
    browser.send("/link", token=link)

    assert "Your second factor was reset: set up a new one." in browser.text
    assert "asks everyone" not in browser.text


def test_a_login_that_is_over_offers_nothing_to_set_up(
    sqlite_house: House, browser: Browser
) -> None:
    demand(sqlite_house)
    browser.sign_in()
    sqlite_house.clock.advance(minutes=16)

    browser.open("/enrollment")

    assert RUN_OUT in browser.text
