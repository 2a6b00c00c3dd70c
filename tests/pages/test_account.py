"""The own account by pages: authenticators, recovery codes, password, sessions."""

import re
from html import unescape

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.pages.guide import answer_of
from tests.support.house import BASE_URL, PASSWORD, Enrolled, House, sign_in
from twinlock.testing.authenticator import FakeAuthenticator


def enroll(house: House, browser: Browser, *, label: str = "My phone") -> FakeAuthenticator:
    browser.open("/factors/new")
    browser.send("/factors/totp")
    phone = FakeAuthenticator.from_uri(browser.form("/confirm").fields["uri"])
    browser.send("/factors/totp/confirm", answer=phone.code(house.now), label=label)
    return phone


def codes_shown(browser: Browser) -> list[str]:
    listed = browser.page.text.split('id="codes">')[1].split("</ol>")[0]
    return [part.split("</li>")[0] for part in listed.split("<li>")[1:]]


def test_a_first_factor_is_enrolled_and_its_codes_are_proven(
    sqlite_house: House, browser: Browser
) -> None:
    browser.sign_in()
    assert "No authenticator yet" in browser.text
    phone = enroll(sqlite_house, browser, label="<My> phone")
    codes = codes_shown(browser)
    assert len(codes) == 10

    browser.open("/factors/recovery_codes/check")
    wrong = browser.send("/check", answer="AAAA-AAAA")
    assert wrong.status_code == 400
    browser.send("/check", answer="\n".join(codes))

    assert browser.path == "/account"
    assert "Your recovery codes are in a safe place." in browser.text
    assert "10 of 10 codes left" in browser.text
    assert "<My> phone" in browser.text
    browser.send("/logout")
    sqlite_house.clock.advance(seconds=30)
    browser.sign_in()
    browser.send("/login/totp", answer=phone.code(sqlite_house.now))
    assert browser.path == "/account"


def test_a_wrong_code_shows_the_same_key_again_and_no_other(
    sqlite_house: House, browser: Browser
) -> None:
    browser.sign_in()
    browser.open("/factors/new")
    browser.send("/factors/totp")
    first = browser.form("/confirm").fields
    again = browser.send("/confirm", answer="000000", label="Mine")
    second = browser.form("/confirm").fields
    assert again.status_code == 400
    assert second["uri"] == first["uri"]
    assert second["label"] == "Mine"

    evil = first["uri"].replace("secret=", "secret=AAAA")
    planted = browser.send("/confirm", answer="000000", uri=evil)

    assert evil not in unescape(planted.text)
    assert "This square is too old" in browser.text


def test_a_clock_that_is_off_is_told_here_only(sqlite_house: House, browser: Browser) -> None:
    browser.sign_in()
    browser.open("/factors/new")
    browser.send("/factors/totp")
    phone = FakeAuthenticator.from_uri(browser.form("/confirm").fields["uri"])
    slow = sqlite_house.now
    sqlite_house.clock.advance(seconds=150)
    browser.send("/confirm", answer=phone.code(slow))

    assert "The clock on your phone seems to be off." in browser.text


def test_a_stale_session_proves_again_before_it_changes_anything(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    sqlite_house.clock.advance(minutes=11)
    before = browser.client.cookies["__Host-twinlock"]

    browser.open("/factors/new")
    assert browser.path == "/reauthenticate?next=%2Ffactors%2Fnew"
    denied = browser.send("/reauthenticate/totp", answer="000000")
    assert denied.status_code == 401
    assert "That code was not accepted." in browser.text
    browser.send("/reauthenticate/totp", answer=enrolled.phone.code(sqlite_house.now))

    assert browser.path == "/factors/new"
    assert browser.client.cookies["__Host-twinlock"] != before


def test_who_has_no_second_factor_proves_the_password_again(
    sqlite_house: House, browser: Browser
) -> None:
    browser.sign_in()
    sqlite_house.clock.advance(minutes=11)
    browser.open("/account/password")
    assert browser.send("/reauthenticate/password", answer="wrong").status_code == 401

    browser.send("/reauthenticate/password", answer=PASSWORD)

    assert browser.path == "/account/password"


def test_a_new_password_ends_every_other_session(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    other = Browser(sqlite_house.client())
    other.sign_in_fully(sqlite_house, enrolled)
    browser.sign_in_fully(sqlite_house, enrolled)
    browser.open("/account/password")
    wrong = browser.send("/account/password", current_password="no", new_password="a" * 30)
    assert wrong.status_code == 400
    short = browser.send("/account/password", current_password=PASSWORD, new_password="short")
    assert short.status_code == 400
    assert "The new password is too short." in browser.text

    new = "a quiet harbour at four in the morning"
    browser.send("/account/password", current_password=PASSWORD, new_password=new)

    assert "Your password is changed" in browser.text
    other.open("/account")
    assert other.path.startswith("/login")
    other.sign_in(password=PASSWORD)
    assert other.page.status_code == 401


def test_an_authenticator_is_renamed_and_removed(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    factor = enrolled.tokens["factor"]["id"]
    browser.open(f"/factors/{factor}/rename")
    browser.send("/rename", label="Work phone")
    assert "Work phone" in browser.text

    browser.open(f"/factors/{factor}/remove")
    assert "This is your last authenticator." in browser.text
    browser.send("/remove")

    assert "No authenticator yet" in browser.text
    assert browser.open(f"/factors/{factor}/remove").status_code == 404


def test_other_sessions_are_ended_one_by_one_or_all(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    others = [Browser(sqlite_house.client()) for _ in range(3)]
    for other in others:
        other.sign_in_fully(sqlite_house, enrolled)
    browser.sign_in_fully(sqlite_house, enrolled)
    browser.send("/end")
    assert "That session is signed out." in browser.text
    browser.send("/sessions/others/end")
    assert "You are signed out everywhere else." in browser.text

    for other in others:
        other.open("/account")
        assert other.path.startswith("/login")
    browser.open("/account")
    assert browser.path == "/account"


def test_nobody_ends_the_session_of_another(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    sqlite_house.create("mallory")
    mallory = Browser(sqlite_house.client())
    mallory.sign_in("mallory")
    browser.sign_in_fully(sqlite_house, enrolled)
    csrf = mallory.form("/logout").fields["csrf"]
    own = sqlite_house.client()
    listed = own.get("/api/sessions", headers=enrolled.bearer).json()["sessions"]

    for one in listed:
        mallory.client.post(
            f"/sessions/{one['id']}/end",
            data={"csrf": csrf},
            headers={"Origin": BASE_URL},
        )

    browser.open("/account")
    assert browser.path == "/account"
    assert own.get("/api/sessions", headers=enrolled.bearer).status_code == 200


def test_new_recovery_codes_void_the_old_ones(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    browser.open("/factors/recovery_codes")
    browser.send("/factors/recovery_codes")
    fresh = codes_shown(browser)
    assert not set(fresh) & set(enrolled.recovery_codes)

    browser.open("/factors/recovery_codes/check")
    assert browser.send("/check", answer=enrolled.recovery_codes[0]).status_code == 400
    browser.send("/check", answer=fresh[3])

    assert "10 of 10 codes left" in browser.text


def test_recovery_codes_without_a_factor_lead_to_one_and_ask_for_no_proof_in_vain(
    browser: Browser,
) -> None:
    browser.sign_in()

    browser.open("/factors/recovery_codes")

    assert "Recovery codes come with the first authenticator." in browser.text
    assert "/factors/new" in browser.read().links


def test_a_passkey_that_is_backed_up_says_so(sqlite_house: House, client: TestClient) -> None:
    for name, is_synced in (("ana", True), ("ben", False)):
        sqlite_house.create(name)
        device = FakeAuthenticator(is_synced=is_synced)
        sqlite_house.enroll_passkey(client, device, sign_in(client, name))
        browser = Browser(sqlite_house.client())
        browser.sign_in(name)
        browser.send("/login/passkey", answer=answer_of(browser, device))

        browser.open("/account")

        assert ("Synced" in browser.text) is is_synced


@pytest.mark.parametrize(
    "path,words",
    [
        ("/account/password", "You are about to change your password."),
        ("/account/email", "You are about to change your e-mail address."),
        ("/factors/new", "You are about to add an authenticator."),
        ("/factors/recovery_codes", "You are about to make new recovery codes."),
        ("/factors/{id}/remove", "You are about to remove an authenticator."),
        ("/events", None),
    ],
)
def test_the_page_that_asks_again_says_what_for(
    sqlite_house: House, browser: Browser, enrolled: Enrolled, path: str, words: str | None
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    there = path.format(id=enrolled.tokens["factor"]["id"])

    browser.open(f"/reauthenticate?next={there}%3Fa=b")

    assert "Confirm that it is you" in browser.text
    assert words in browser.text if words else "about to" not in browser.text


def test_codes_that_nobody_has_shown_are_asked_for_until_one_is(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    """Whoever closed the page of the codes without saving them learns it before the bad day."""
    asks = "You have not shown yet that you kept them."
    browser.sign_in_fully(sqlite_house, enrolled)
    browser.open("/account")
    assert asks in browser.text
    assert "Made on" in browser.text

    browser.open(next(link for link in browser.read().links if link.endswith("/check")))
    browser.send("/check", answer="AAAA-AAAA")
    browser.open("/account")
    assert asks in browser.text
    browser.open("/factors/recovery_codes/check")
    browser.send("/check", answer=enrolled.recovery_codes[3])

    assert browser.path == "/account"
    assert asks not in browser.text
    assert "10 of 10 codes left" in browser.text
    browser.open("/factors/recovery_codes")
    browser.send("/factors/recovery_codes")
    browser.open("/account")
    assert asks in browser.text  # the new ones are others


def test_the_proof_of_one_account_says_nothing_of_another(
    sqlite_house: House, browser: Browser, enrolled: Enrolled, client: TestClient
) -> None:
    sqlite_house.create("ana")
    theirs = sqlite_house.enroll(client, "ana")
    browser.sign_in_fully(sqlite_house, enrolled)
    browser.open("/factors/recovery_codes/check")

    browser.send("/check", answer=theirs.recovery_codes[0])
    browser.open("/account")

    assert "You have not shown yet that you kept them." in browser.text


def test_who_uses_up_a_recovery_code_hears_how_many_are_left(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    told = []
    for code in enrolled.recovery_codes:
        browser = Browser(sqlite_house.client())
        browser.sign_in()
        browser.open("/login/recovery_codes")
        browser.send("/login/recovery_codes", answer=code)
        told.append(browser.text)

    assert "You have 9 recovery codes left. Is your phone lost?" in told[0]
    assert "You have 1 recovery code left." in told[8]
    assert "That was your last recovery code. Make new ones now." in told[9]
    assert "You have not shown" not in told[0]  # who used one has them
    browser.open("/account")
    assert "That was your last" not in browser.text
    assert "with password and recovery code" in browser.text


def test_a_note_that_somebody_made_up_is_none(browser: Browser) -> None:
    browser.sign_in()
    for value in ("codes_left.", "codes_left.x", "codes_left.-1", "codes_left.<b>"):
        browser.keep_cookie("__Host-twinlock-note", value)
        answer = browser.client.get("/account")
        assert answer.status_code == 200
        assert "left." not in answer.text


def test_the_sheet_of_codes_says_whose_they_are_and_where_they_belong(
    sqlite_house: House, client: TestClient
) -> None:
    house = sqlite_house.again(service_name="Harbour & Söhne")
    with house.open():
        house.create()
        browser = Browser(house.client())
        browser.sign_in()
        enroll(house, browser)

        assert (
            'For <bdi>johndoe</bdi>, made on <time datetime="2026-03-02">Mar 2, 2026<'
            in browser.page.text
        )
        assert 'download="harbour-söhne-recovery-codes.txt"' in browser.page.text


def test_sessions_and_history_say_how_somebody_signed_in(
    sqlite_house: House, browser: Browser, client: TestClient
) -> None:
    browser.sign_in()
    assert "with the password alone" in browser.text
    device = FakeAuthenticator()
    sqlite_house.enroll_passkey(client, device, sign_in(client))
    browser = Browser(sqlite_house.client())
    browser.sign_in()
    browser.send("/login/passkey", answer=answer_of(browser, device))

    browser.open("/account")

    sessions = browser.page.text.split('id="sessions"')[1].split("</section>")[0]
    assert "with password and passkey" in sessions
    browser.open("/events")
    assert browser.text.count("with the password alone") >= 2


def test_buttons_of_the_same_name_are_told_apart(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    """By ear, three sessions of one browser have one name; what describes them is theirs."""
    for _ in range(3):
        browser = Browser(sqlite_house.client())
        browser.sign_in_fully(sqlite_house, enrolled)
    browser.open("/account")

    described = re.findall(r'<button[^>]*aria-describedby="(sign-in-\d)"', browser.page.text)

    assert len(described) == len(set(described)) >= 2
    assert all(f'id="{one}"' in browser.page.text for one in described)


def test_what_deserves_a_second_look_leads_to_what_to_do(
    sqlite_house: House, browser: Browser
) -> None:
    browser.sign_in(password="wrong")
    browser.sign_in()

    for path in ("/account", "/events"):
        browser.open(path)
        row = browser.page.text.split("<p>A sign-in was denied")[1].split("</li>")[0]
        link = 'href="/not-me" aria-label="This was not me: A sign-in was denied">This was not me<'
        assert link in row
