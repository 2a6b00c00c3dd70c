"""Password managers, pasting hands and shared computers: what pages leave to their visitors."""

import re
from pathlib import Path

import pytest

from tests.pages.browser import Browser
from tests.support.house import Enrolled, House
from twinlock import pages

PAGES = Path(pages.__file__).parent
TEMPLATES = sorted((PAGES / "templates").rglob("*.html"))
MODULES = sorted((PAGES / "static").rglob("*.js"))

PASSWORD = re.compile(r'<input[^>]*name="(?:current_|new_)?password"[^>]*>')


def test_passwords_are_hidden_and_can_be_filled_and_pasted() -> None:
    fields = [field for one in TEMPLATES for field in PASSWORD.findall(one.read_text())]

    assert len(fields) >= 3
    for field in fields:
        assert 'type="password"' in field
        assert re.search(r'autocomplete="(current|new)-password"', field)
        assert "maxlength" not in field  # which would cut what is pasted, and say nothing
        assert "readonly" not in field
    for one in (*TEMPLATES, *MODULES):
        assert not re.search(r"\b(?:on)?(?:paste|beforeinput|contextmenu)\b", one.read_text()), one


def test_modules_keep_nothing_in_the_browser() -> None:
    assert MODULES
    kept = re.compile(r"\b(?:localStorage|sessionStorage|indexedDB|caches|document\.cookie)\b")
    assert [one.name for one in MODULES if kept.search(one.read_text())] == []


@pytest.mark.parametrize("path", ["/account", "/events"])
def test_every_page_inside_offers_to_sign_out(
    sqlite_house: House, browser: Browser, enrolled: Enrolled, path: str
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)

    browser.open(path)

    assert browser.form("/logout").fields["csrf"]


@pytest.mark.parametrize(
    "path",
    [
        "/account/password",
        "/account/email",
        "/factors/new",
        "/factors/recovery_codes",
        "/factors/{factor}/rename",
        "/factors/{factor}/remove",
    ],
)
def test_every_page_that_asks_one_thing_leads_back_to_where_one_signs_out(
    sqlite_house: House, browser: Browser, enrolled: Enrolled, path: str
) -> None:
    browser.sign_in_fully(sqlite_house, enrolled)

    answer = browser.client.get(path.format(factor=enrolled.tokens["factor"]["id"]))

    assert answer.status_code == 200
    assert 'href="/account"' in answer.text


def test_every_page_of_the_console_offers_to_sign_out(console: Browser) -> None:
    paths = ("/admin", "/admin/accounts", "/admin/policies", "/admin/events", "/admin/keys")
    for path in paths:
        console.open(path)
        assert console.form("/logout").fields["csrf"], path
