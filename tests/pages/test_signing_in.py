"""Signing in and out by pages, without JavaScript."""

import re

import pytest

from tests.pages.browser import Browser
from tests.support.house import BASE_URL, OPERATOR, PASSWORD, Enrolled, House

DENIED = "Those details did not match."


def said(browser: Browser, name: str) -> str:
    """Return a sign-in page without what is new on every one: tokens, challenge, the typed name."""
    text = re.sub(r'(data-options|name="(?:csrf|login)" value)="[^"]*"', "", browser.page.text)
    return text.replace(f'value="{name}"', "")


def test_a_password_and_a_code_lead_to_the_page_one_wanted(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled, to="/events")

    assert browser.path == "/events"
    assert "You signed in" in browser.text
    session = next(c for c in browser.client.cookies.jar if c.name == "__Host-twinlock")
    assert session.secure
    assert "HttpOnly" in session._rest  # type: ignore[attr-defined]


def test_a_right_password_alone_opens_nothing(browser: Browser, enrolled: Enrolled) -> None:
    browser.sign_in()

    assert browser.path == "/login/totp"
    assert "__Host-twinlock" not in browser.client.cookies
    browser.open("/account")
    assert browser.path == "/login?next=%2Faccount"


def test_a_recovery_code_signs_in_once(browser: Browser, enrolled: Enrolled) -> None:
    code = enrolled.recovery_codes[0].lower().replace("-", " ")
    browser.sign_in()
    browser.open("/login/recovery_codes")
    browser.send("/login/recovery_codes", answer=code)
    assert "9 of 10 codes left" in browser.text

    browser.send("/logout")
    browser.sign_in()
    browser.open("/login/recovery_codes")
    again = browser.send("/login/recovery_codes", answer=code)

    assert again.status_code == 401
    assert "That code was not accepted." in browser.text


def test_every_denied_password_gets_one_answer(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    sqlite_house.create("disabled")
    account = sqlite_house.account("disabled")
    sqlite_house.administration.disable(account, OPERATOR, now=sqlite_house.now)
    tried = [
        ("johndoe", "wrong"),
        ("nobody", PASSWORD),
        ("disabled", PASSWORD),
        ("johndoe", ""),
        ("johndoe", "x" * 2000),
        ("johndoe", "a\0b"),
    ]
    answers = []
    for name, password in tried:
        browser.sign_in(name, password)
        page = browser.page
        names = sorted({key.lower() for key in page.headers} - {"content-length"})
        length = len(page.content) - len(name)
        answers.append((page.status_code, said(browser, name), names, length))

    assert answers[0][0] == 401
    assert DENIED in answers[0][1]
    assert all(answer == answers[0] for answer in answers)


def test_a_denied_form_keeps_the_name_and_never_the_password(browser: Browser) -> None:
    browser.sign_in('<b>"x', "hunter2-hunter2")

    assert browser.form("/login").fields["username"] == '<b>"x'
    assert "hunter2" not in browser.page.text
    assert "<b>" not in browser.page.text.replace("<b>Those", "")
    assert "<title>Error:" in browser.page.text


def test_wrong_and_spent_codes_get_one_answer_and_five_end_the_login(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    used = enrolled.phone.code(sqlite_house.now)
    browser.sign_in()
    spent = browser.send("/login/totp", answer=used)
    texts = [browser.text]
    for _ in range(3):
        browser.send("/login/totp", answer="000000")
        texts.append(browser.text)
    last = browser.send("/login/totp", answer="000000")

    assert spent.status_code == 401
    assert len(set(texts)) == 1
    assert last.status_code == 401
    assert "This sign‑in has run out" in browser.text


def test_a_login_that_waited_too_long_says_so(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.open("/login/totp?next=/events")

    assert "This sign‑in has run out" in browser.text
    assert "/login?next=%2Fevents" in browser.read().links


def test_too_many_passwords_are_told_alike_for_known_and_unknown_names(browser: Browser) -> None:
    told = []
    for name in ("johndoe", "nobody"):
        for _ in range(11):
            browser.sign_in(name, "wrong")
        wait = browser.page.headers["retry-after"]
        told.append((browser.page.status_code, wait, said(browser, name)))

    assert told[0][0] == 429
    assert told[0] == told[1]


def test_sign_out_ends_the_session_for_good(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)
    kept = browser.client.cookies["__Host-twinlock"]
    browser.send("/logout")
    assert "You are signed out." in browser.text

    browser.client.cookies.set("__Host-twinlock", kept)
    browser.open("/account")

    assert browser.path.startswith("/login")


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "\\\\evil.example",
        "/a\r\nX-Evil: 1",
        "evil.example",
        " /account",
        "/" + "a" * 2000,
        "",
    ],
)
def test_no_target_leads_to_another_site(browser: Browser, target: str) -> None:
    browser.open("/login")
    fields = {**browser.form().fields, "next": target, "username": "johndoe"}
    answer = browser.client.post(
        "/login",
        data={**fields, "password": PASSWORD},
        headers={"Origin": BASE_URL},
        follow_redirects=False,
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/account")


@pytest.mark.parametrize("target", ["/events?cursor=1&a=b", "/r%C3%A9sum%C3%A9", "/x#part"])
def test_a_path_of_ours_is_kept(browser: Browser, target: str) -> None:
    browser.open("/login")
    fields = {**browser.form().fields, "next": target, "username": "johndoe"}
    answer = browser.client.post(
        "/login",
        data={**fields, "password": PASSWORD},
        headers={"Origin": BASE_URL},
        follow_redirects=False,
    )

    assert answer.headers["location"] == target


def test_passkeys_that_are_tried_too_often_have_to_wait(browser: Browser) -> None:
    """A bare way back would let a person try on and on in vain."""
    for _ in range(200):
        browser.open("/login")
        if browser.send("/passkey", answer="{}").status_code == 429:
            break

    assert browser.page.status_code == 429
    assert int(browser.page.headers["retry-after"]) > 0
    assert "Please wait" in browser.text
    assert browser.form("/passkey").fields["login"]  # and may be tried again after that time


def test_the_code_page_says_whose_code_it_wants_once_the_password_was_right(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    """The name is the one in the app, whatever was typed, and nobody learns it by guessing."""
    browser.sign_in("johndoe@example.com", "wrong")
    assert "johndoe," not in browser.text + browser.text.replace("johndoe@example.com", "")
    assert ">johndoe<" not in browser.page.text

    browser.sign_in("johndoe@example.com")

    assert browser.path == "/login/totp"
    assert "find Twinlock, <bdi>johndoe</bdi>." in browser.page.text
    browser.client.cookies.delete("__Host-twinlock-login")
    assert "johndoe" not in browser.open("/login/totp").text


def test_a_name_that_somebody_put_into_the_cookie_is_only_text(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    browser.sign_in()
    kept = browser.client.cookies["__Host-twinlock-login"].rpartition("~")[0]
    browser.keep_cookie("__Host-twinlock-login", f"{kept}~%3Cu%3E%22x")

    page = browser.open("/login/totp").text

    assert "<u>" not in page
    assert "<bdi>&lt;u&gt;&#34;x</bdi>" in page
