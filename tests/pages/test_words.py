"""Every language is complete, and the browser chooses."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from scripts import messages
from tests.pages.browser import Browser
from tests.support.house import House
from twinlock.audit.events import EventType
from twinlock.core.languages import LANGUAGES
from twinlock.pages.admin import happenings
from twinlock.pages.texts import catalogues, language_for

FIELD = re.compile(r"%\(\w+\)s|\{\w+\}")


@pytest.mark.parametrize("book", messages.BOOKS, ids=lambda book: book.name)
@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_no_text_is_missing(language: str, book: Path) -> None:
    """Mend it with: python scripts/messages.py, and translate what it tells."""
    assert messages.missing(language, book) == []


@pytest.mark.parametrize("book", messages.BOOKS, ids=lambda book: book.name)
@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_translations_hold_what_is_filled_in_and_no_markup(language: str, book: Path) -> None:
    for entry in messages.catalogue_of(language, book):
        if not entry.id:
            continue
        source = entry.id if isinstance(entry.id, str) else entry.id[0]
        told = [entry.string] if isinstance(entry.string, str) else entry.string or ()
        for text in told:
            assert set(FIELD.findall(text)) == set(FIELD.findall(source)), source
            assert not set("<>") & set(text)
            assert FIELD.sub("", text).count("%") == 0


@pytest.mark.parametrize(
    "accepted,expected",
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("nl,fr;q=0.5,es;q=0.7", "es"),
        ("ja;q=0,en", "en"),
        ("AR-EG", "ar"),
        ("xx", "en"),
        ("de;q=nonsense, fr", "fr"),
        (";;;,,,===", "en"),
        ("de;q=1" * 10_000, "en"),
    ],
)
def test_the_browser_chooses_the_language(accepted: str, expected: str) -> None:
    assert language_for(accepted) == expected


def test_pages_speak_the_language_and_name_it(sqlite_house: House, client: TestClient) -> None:
    for language in LANGUAGES:
        browser = Browser(sqlite_house.client(), language=language)
        page = browser.open("/login")
        words = catalogues()[language].gettext("Username or e-mail")

        assert words in browser.text
        assert f'<html lang="{language}"' in page.text
        assert ('dir="rtl"' in page.text) is (language == "ar")
        assert page.headers["content-language"] == language
        assert "Accept-Language" in page.headers["vary"]


def test_an_operator_overrides_name_logo_colours_and_single_templates(
    sqlite_house: House, tmp_path: Path
) -> None:
    templates = tmp_path / "templates"
    (templates / "logout").mkdir(parents=True)
    (templates / "logout" / "signed_out.html").write_text(
        '{% extends "auth.html" %}{% block title %}Bye{% endblock %}'
        "{% block main %}<h1>Bye from {{ service }}</h1>{% endblock %}"
    )
    sheet, logo = tmp_path / "theme.css", tmp_path / "logo.svg"
    sheet.write_text(":root{--key:#5b2a86}")
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    themed = sqlite_house.again(
        service_name="Harbour & Sons",
        pages_templates=templates,
        pages_stylesheet=sheet,
        pages_logo=logo,
    )

    with themed.open():
        browser = Browser(themed.client())
        assert "Bye from Harbour & Sons" in (browser.open("/logout"), browser.text)[1]
        page = browser.open("/login").text
        links = browser.read().links
        assert "Harbour &amp; Sons" in page
        css = next(link for link in links if link.endswith(".css"))
        assert browser.client.get(css).text.endswith("--key:#5b2a86}")
        assert any("/static/logo." in link for link in links)


@pytest.mark.parametrize(
    "contact,shown",
    [
        ("help@example.com", 'href="mailto:help@example.com"'),
        ("https://example.com/help", 'href="https://example.com/help"'),
        ("+49 30 12345", "<bdi>+49 30 12345</bdi>"),
        ("javascript:alert(1)", "<bdi>javascript:alert(1)</bdi>"),
        ('https://x"><b>', "https://x&#34;&gt;&lt;b&gt;"),
        (None, ""),
    ],
)
def test_help_says_whom_to_ask(sqlite_house: House, contact: str | None, shown: str) -> None:
    house = sqlite_house.again(pages_contact=contact)

    with house.open():
        page = Browser(house.client()).open("/login/help").text

    assert shown in page
    assert ("Help:" in page) is (contact is not None)
    assert "<b>" not in page


def test_pages_say_how_long_something_lasts_here(sqlite_house: House) -> None:
    house = sqlite_house.again(
        trusted_device_lifetime=timedelta(hours=12), pending_login_lifetime=timedelta(minutes=3)
    )

    with house.open():
        browser = Browser(house.client())
        browser.open("/login")
        assert "Remember this device for 12 hours" in browser.text
        browser.open("/login/totp")
        assert "ends after 3 minutes or too many tries" in browser.text
        german = Browser(house.client(), language="de")
        german.open("/login")
        assert "12 Stunden lang merken" in german.text


@pytest.mark.parametrize(
    "language,time",
    [
        ("en", "30 days"),
        ("de", "30 Tage"),
        ("fr", "30\N{NO-BREAK SPACE}jours"),
        ("es", "30 días"),
        ("ja", "30 日"),
        ("ar", "30 يومًا"),
    ],
)
def test_every_language_has_words_for_a_time(
    sqlite_house: House, client: TestClient, language: str, time: str
) -> None:
    page = Browser(sqlite_house.client(), language=language).open("/login").text

    assert time in page
    assert "duration" not in page


def test_a_logo_that_is_no_picture_stops_the_start(sqlite_house: House, tmp_path: Path) -> None:
    odd = tmp_path / "logo.html"
    odd.write_text("<script>")

    with pytest.raises(Exception, match=r"neither \.svg"):
        sqlite_house.again(pages_logo=odd)


def test_the_console_has_a_sentence_for_every_event() -> None:
    assert [type_ for type_ in EventType if type_ not in happenings.SENTENCES] == []
