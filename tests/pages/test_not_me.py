"""Remembered devices, the way out after somebody else was in, and the language of an account."""

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import Browser
from tests.support.house import PASSWORD, Enrolled, House, bearer, sign_in
from twinlock.core.languages import LANGUAGES
from twinlock.mail.words import translated
from twinlock.testing.mail import MailTrap

NEW_PASSWORD = "a purple bicycle under water"
JOHN = "johndoe@example.com"


def remember(house: House, browser: Browser, enrolled: Enrolled) -> None:
    house.clock.advance(seconds=30)
    browser.sign_in()
    browser.send("/login/totp", answer=enrolled.phone.code(house.now), trust_device="yes")


def test_a_remembered_device_is_shown_and_forgotten(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    remember(sqlite_house, browser, enrolled)
    assert "remembered until" in browser.text

    browser.send("/forget")
    assert "That device is forgotten." in browser.text
    assert "No remembered devices." in browser.text
    browser.send("/logout")
    browser.sign_in()

    assert browser.path == "/login/totp"


def test_nobody_forgets_the_device_of_another(
    sqlite_house: House, browser: Browser, enrolled: Enrolled
) -> None:
    remember(sqlite_house, browser, enrolled)
    action = browser.form("/forget").action
    sqlite_house.create("mallory")
    other = Browser(sqlite_house.client())
    other.sign_in("mallory")
    csrf = other.form("/logout").fields["csrf"]

    other.client.post(action, data={"csrf": csrf}, headers={"Origin": "http://localhost:8000"})

    browser.open("/account")
    assert "remembered until" in browser.text


def test_the_steps_end_what_a_thief_holds_and_tick_what_is_done(
    sqlite_house: House, browser: Browser, enrolled: Enrolled, client: TestClient
) -> None:
    remember(sqlite_house, browser, enrolled)
    thief = enrolled.bearer
    sqlite_house.clock.advance(seconds=30)
    browser.open("/not-me")
    assert "Done" not in browser.text

    browser.send("/not-me")

    assert browser.text.count("Done") == 1
    assert client.get("/users/me", headers=thief).status_code == 401
    browser.open("/account/password")
    browser.send("/account/password", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert browser.path == "/not-me"
    assert browser.text.count("Done") == 2
    browser.open("/factors/recovery_codes")
    browser.send("/factors/recovery_codes")
    browser.open("/not-me")
    assert browser.text.count("Done") == 3
    browser.send("/finish")
    assert browser.path == "/account"
    browser.open("/not-me")
    assert "Done" not in browser.text


def test_an_old_session_proves_itself_before_it_ends_others(
    sqlite_house: House, browser: Browser
) -> None:
    browser.sign_in()
    sqlite_house.clock.advance(minutes=11)
    browser.open("/not-me")

    browser.send("/not-me")

    assert browser.path.startswith("/reauthenticate")
    browser.send("/reauthenticate", answer=PASSWORD)
    assert browser.path == "/not-me"


def test_notices_name_the_way(sqlite_house: House, browser: Browser, enrolled: Enrolled) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)

    message = trap.messages(JOHN)[-1]

    body = message.get_body(("plain",))
    assert body is not None
    assert f"{sqlite_house.settings.base_url}/not-me" in body.get_content()


def test_a_language_is_chosen_without_javascript_and_outlives_the_session(
    sqlite_house: House, browser: Browser
) -> None:
    browser.open("/login")
    browser.open(next(link for link in browser.read().links if link.startswith("/language")))
    browser.send("/language", language="de")
    assert browser.path == "/login"
    assert "Anmelden" in browser.text
    browser.send("/login", username="johndoe", password=PASSWORD)
    assert sqlite_house.account().language == "de"

    browser.open("/language?next=/events")
    browser.send("/language", language="ar")
    assert browser.path == "/events"
    assert sqlite_house.account().language == "ar"
    elsewhere = Browser(sqlite_house.client(), language="fr")
    elsewhere.sign_in()
    assert 'lang="ar" dir="rtl"' in elsewhere.page.text


def test_the_browsers_language_is_the_accounts_until_one_is_chosen(
    sqlite_house: House, browser: Browser
) -> None:
    for language, expected in (("fr", "fr"), ("de", "fr")):
        Browser(sqlite_house.client(), language=language).sign_in()
        assert sqlite_house.account().language == expected


@pytest.mark.parametrize("language", ["xx", "", "../../etc", "de\r\nX: y"])
def test_an_unknown_language_changes_nothing(
    sqlite_house: House, browser: Browser, language: str
) -> None:
    browser.sign_in()
    browser.open("/language")

    browser.send("/language", language=language)

    assert sqlite_house.account().language == "en"
    assert browser.open("/account").headers["content-language"] == "en"


@pytest.mark.parametrize("language", LANGUAGES)
def test_mails_speak_the_language_of_the_account(
    sqlite_house: House, browser: Browser, language: str
) -> None:
    trap = MailTrap(lambda: sqlite_house.auth)
    Browser(sqlite_house.client(), language=language).sign_in()
    browser.open("/recovery/password")
    browser.send(username="johndoe")

    message = trap.messages(JOHN)[-1]

    subject = translated("{service}: set a new password", language).format(service="Twinlock")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert message["Subject"] == subject
    assert message["Content-Language"] == language
    words = translated(
        "If it was not you, do nothing: the link alone changes nothing, and your "
        "password and your second factor stay what they are.",
        language,
    )
    assert words in text.get_content().replace("\n", " ") or words in text.get_content()
    assert f'<html lang="{language}"' in html.get_content()
    assert ('dir="rtl"' in html.get_content()) is (language == "ar")
    assert "{" not in text.get_content() + html.get_content()


def test_whoever_chose_none_gets_the_installations_language(sqlite_house: House) -> None:
    german = sqlite_house.again(default_language="de")
    trap = MailTrap(lambda: german.auth)
    with german.open() as client:
        german.create()
        client.post("/api/recovery/password", json={"username": "johndoe"})
        page = client.get("/login", headers={"Accept-Language": "nl"})

        assert "neues Passwort" in trap.subjects(JOHN)[-1]
        assert page.headers["content-language"] == "de"


def test_applications_learn_the_language_too(sqlite_house: House, client: TestClient) -> None:
    sqlite_house.create()
    Browser(sqlite_house.client(), language="es").sign_in()
    tokens = sign_in(client)

    assert client.get("/users/me", headers=bearer(tokens)).json().keys() == {
        "username",
        "email",
        "full_name",
        "disabled",
    }
