"""Forgotten passwords and mailed links, by pages: from the first click to the next sign-in."""

import re
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.support.house import (
    BASE_URL,
    OPERATOR,
    PASSWORD,
    Enrolled,
    House,
    begin_login,
    sign_in,
    token,
)
from twinlock.app import Twinlock
from twinlock.testing.installation import changed
from twinlock.testing.mail import MailTrap

NEW_PASSWORD = "a purple bicycle under water"
JOHN = "johndoe@example.com"
DEAD = "This link does not work any more"


@pytest.fixture
def trap(sqlite_house: House) -> MailTrap:
    return MailTrap(lambda: sqlite_house.auth)


def asked(browser: Browser, name: str = "johndoe") -> None:
    browser.open("/login")
    browser.open(next(link for link in browser.read().links if "recovery" in link))
    browser.send(username=name)


def mailed(browser: Browser, trap: MailTrap, to: str = JOHN) -> str:
    """Open the link of the newest mail; return its path."""
    path = urlsplit(trap.link(to)).path
    browser.open(path)
    return path


def test_a_forgotten_password_is_set_by_the_mailed_link_and_nobody_is_signed_in(
    browser: Browser, client: TestClient, trap: MailTrap
) -> None:
    asked(browser)
    assert browser.path == "/recovery/sent"
    link = mailed(browser, trap)
    assert "johndoe" in browser.page.text  # for the password manager

    browser.send(new_password=NEW_PASSWORD)

    assert "Your password is changed" in browser.text
    assert "__Host-twinlock" not in browser.client.cookies
    assert token(client, "johndoe", PASSWORD).status_code == 400
    browser.sign_in(password=NEW_PASSWORD)
    assert browser.path == "/account"
    assert browser.open(link).status_code == 404
    assert DEAD in browser.text


def test_the_second_factor_stays_after_a_reset(
    browser: Browser, enrolled: Enrolled, trap: MailTrap
) -> None:
    asked(browser)
    mailed(browser, trap)
    browser.send(new_password=NEW_PASSWORD)

    browser.sign_in(password=NEW_PASSWORD)

    assert browser.path == "/login/totp"


def test_looking_at_a_link_changes_nothing_however_often(
    browser: Browser, client: TestClient, trap: MailTrap
) -> None:
    sign_in(client)
    asked(browser)
    path = mailed(browser, trap)
    for _ in range(3):
        browser.open(path)
    assert browser.client.head(path).status_code in {200, 405}

    assert token(client, "johndoe", PASSWORD).status_code == 200
    assert browser.send(new_password=NEW_PASSWORD).status_code == 200


def test_a_link_s_token_is_carried_into_no_query(
    browser: Browser, client: TestClient, trap: MailTrap
) -> None:
    """Proxies write down queries."""
    sign_in(client)
    asked(browser)
    path = mailed(browser, trap)

    browser.open(path)

    queries = [part.split('"')[0] for part in browser.page.text.split("?")[1:]]
    assert not any(path.rsplit("/", 1)[1] in query for query in queries)


def test_asking_is_answered_alike_for_every_name(
    sqlite_house: House, browser: Browser, trap: MailTrap
) -> None:
    sqlite_house.create("disabled")
    sqlite_house.administration.disable(
        sqlite_house.account("disabled"), OPERATOR, now=sqlite_house.now
    )
    answers = set()
    for name in ("johndoe", "nobody", "disabled", "nobody@example.com", "", "a\0b", "x" * 5000):
        asked(browser, name)
        answers.add((browser.path, browser.page.status_code, browser.page.text))

    assert len(answers) == 1
    assert [message["To"] for message in trap.messages()] == [JOHN]


def test_a_refused_password_keeps_the_link_and_is_never_repeated(
    browser: Browser, trap: MailTrap
) -> None:
    asked(browser)
    mailed(browser, trap)

    short = browser.send(new_password="kurz7x")
    assert (short.status_code, "The new password is too short." in browser.text) == (400, True)
    assert "kurz7x" not in browser.page.text
    common = browser.send(new_password="password123")
    assert (common.status_code, "Choose another new password." in browser.text) == (400, True)

    assert browser.send(new_password=NEW_PASSWORD).url.path == "/recovery/done/password"


def test_a_form_of_another_browser_sets_no_password(
    sqlite_house: House, browser: Browser, client: TestClient, trap: MailTrap
) -> None:
    asked(browser)
    path = mailed(browser, trap)
    other = sqlite_house.client()
    for headers in ({"Origin": BASE_URL}, {"Origin": "https://evil.example"}):
        answer = other.post(path, data={"new_password": NEW_PASSWORD}, headers=headers)
        assert answer.status_code == 403

    assert token(client, "johndoe", PASSWORD).status_code == 200


@pytest.mark.parametrize("path", ["password", "email", "email/cancel"])
@pytest.mark.parametrize("secret", ["x", "x" * 43, "x" * 5000, "%00", "é"])
def test_a_link_that_never_was_and_a_spent_one_look_alike(
    browser: Browser, path: str, secret: str
) -> None:
    answer = browser.open(f"/recovery/{path}/{secret}")

    assert answer.status_code in {400, 404, 414}
    assert "500" not in browser.text


def test_too_many_requests_have_to_wait_and_keep_the_name(browser: Browser) -> None:
    browser.open("/recovery/password")
    for _ in range(101):
        asked(browser, "nobody")

    assert browser.page.status_code == 429
    assert int(browser.page.headers["retry-after"]) > 0
    assert browser.form("/recovery").fields["username"] == "nobody"
    assert "Please wait" in browser.text


def test_an_address_is_changed_by_its_own_mailbox_and_ends_every_session(
    sqlite_house: House, browser: Browser, trap: MailTrap
) -> None:
    browser.sign_in()
    assert JOHN in browser.text
    browser.open("/account/email")
    browser.send("/account/email", email="john@new.example")
    assert "We sent a link to the new address." in browser.text
    assert JOHN in browser.text

    mailed(browser, trap, "john@new.example")
    assert "john@new.example" in browser.text
    browser.send()

    assert "Your e-mail address is confirmed" in browser.text
    assert sqlite_house.account().email == "john@new.example"
    browser.open("/account")
    assert browser.path.startswith("/login")
    browser.sign_in("john@new.example")
    assert browser.path == "/account"


def test_the_old_address_stops_a_change(
    sqlite_house: House, browser: Browser, trap: MailTrap
) -> None:
    browser.sign_in()
    browser.open("/account/email")
    browser.send("/account/email", email="thief@new.example")
    confirmation = urlsplit(trap.link("thief@new.example")).path

    mailed(browser, trap)
    assert "Keep your e\N{NON-BREAKING HYPHEN}mail address?" in browser.text
    browser.send()

    assert "Your e-mail address stays" in browser.text
    assert browser.open(confirmation).status_code == 404
    assert sqlite_house.account().email == JOHN


@pytest.mark.parametrize("wrong", ["nonsense", "a@b", "", "x" * 400 + "@example.com"])
def test_a_wrong_address_is_kept_in_the_form(browser: Browser, wrong: str) -> None:
    browser.sign_in()
    browser.open("/account/email")

    answer = browser.send("/account/email", email=wrong)

    assert answer.status_code == 400
    assert browser.form("/account/email").fields["email"] == wrong
    assert "That is no e-mail address." in browser.text


def test_an_old_proof_is_asked_for_again_before_the_address(
    sqlite_house: House, browser: Browser
) -> None:
    browser.sign_in()
    sqlite_house.clock.advance(minutes=11)

    browser.open("/account/email")

    assert browser.path.startswith("/reauthenticate")


def test_a_token_in_a_path_is_in_no_log_and_is_sent_to_no_other_site(
    browser: Browser, trap: MailTrap, caplog: pytest.LogCaptureFixture
) -> None:
    asked(browser)
    caplog.set_level("INFO")
    path = mailed(browser, trap)
    secret = path.rpartition("/")[2]

    assert not [
        record
        for record in caplog.records
        if secret in str(record.__dict__) and record.name == "twinlock.access"
    ]
    assert browser.page.headers["referrer-policy"] == "same-origin"
    assert not re.search(r"https?://(?!localhost)", browser.page.text)


def test_links_of_mails_lead_to_where_the_host_takes_them(sqlite_house: House) -> None:
    elsewhere = sqlite_house.again(mail_links="https://app.example.com/account/")
    trap = MailTrap(lambda: elsewhere.auth)
    with elsewhere.open() as client:
        elsewhere.create()
        client.post("/api/recovery/password", json={"username": "johndoe"})

        assert re.fullmatch(
            r"https://app\.example\.com/account/recovery/password/\S+", trap.link(JOHN)
        )


def test_an_application_of_ones_own_may_have_the_pages_under_a_prefix(
    sqlite_house: House,
) -> None:
    auth = Twinlock(sqlite_house.settings, clock=sqlite_house.clock)
    app = FastAPI()
    auth.install(app, prefix="/auth", pages=True)
    trap = MailTrap(lambda: auth)
    with sqlite_house.open(), TestClient(app, base_url=BASE_URL) as client:
        sqlite_house.create()
        browser = Browser(client)
        browser.open("/auth/login")
        browser.open("/auth/recovery/password")
        browser.send(username="johndoe")
        mailed(browser, trap)
        browser.send(new_password=NEW_PASSWORD)
        assert browser.path == "/auth/recovery/done/password"
        browser.sign_in(password=NEW_PASSWORD, to="/auth/login")
        assert browser.path == "/auth/account"


@pytest.mark.parametrize("has_pages", [True, False])
def test_a_start_without_pages_warns_that_links_lead_nowhere(
    sqlite_house: House, caplog: pytest.LogCaptureFixture, *, has_pages: bool
) -> None:
    settings = changed(sqlite_house.settings, smtp_url="smtp://localhost:2525")
    auth = Twinlock(settings, clock=sqlite_house.clock)
    app = FastAPI()
    auth.install(app, pages=has_pages)
    caplog.set_level("WARNING")
    with TestClient(app, base_url=BASE_URL):
        pass

    told = "mail_links_without_pages" in [record.getMessage() for record in caplog.records]
    assert told is not has_pages


def test_the_link_of_a_reset_offers_to_stop_it_and_its_button_does(
    browser: Browser, enrolled: Enrolled, sqlite_house: House, client: TestClient, trap: MailTrap
) -> None:
    root = sqlite_house.create("root", roles=("admin",))
    admin = sqlite_house.enroll(client, root.username)
    path = f"/api/admin/users/{enrolled.account.subject}/factor_reset"
    assert client.post(path, headers=admin.bearer).status_code == 202
    link = mailed(browser, trap)
    for _ in range(2):  # looking changes nothing
        assert browser.open(link).status_code == 200
    assert client.post(path, headers=admin.bearer).json()["type"] == "reset_pending"

    browser.send()

    assert "Your second factors stay" in browser.text
    assert browser.open(link).status_code == 404
    assert "There is nothing left to stop" in browser.text
    assert client.post(path, headers=admin.bearer).status_code == 202


@pytest.mark.parametrize("end", ["called off", "run out"])
def test_a_link_whose_reset_is_over_says_that_nothing_is_left_to_stop(
    browser: Browser,
    enrolled: Enrolled,
    sqlite_house: House,
    client: TestClient,
    trap: MailTrap,
    end: str,
) -> None:
    root = sqlite_house.create("root", roles=("admin",))
    admin = sqlite_house.enroll(client, root.username)
    path = f"/api/admin/users/{enrolled.account.subject}/factor_reset"
    assert client.post(path, headers=admin.bearer).status_code == 202
    link = mailed(browser, trap)
    browser.open(link)
    form = browser.page
    if end == "called off":
        assert client.delete(path, headers=admin.bearer).status_code == 204
    else:
        sqlite_house.clock.advance(days=60)

    browser.send()  # the page was open when it ended

    assert form.status_code == 200
    assert browser.page.status_code == 404
    assert "There is nothing left to stop" in browser.text
    assert "/account" in browser.read().links
    sqlite_house.clock.advance(seconds=30)
    assert begin_login(client)["status"] == "second_factor_required"  # nothing was removed
