"""Password managers, pasting hands and shared computers: what pages leave to their visitors."""

import re
from pathlib import Path

from tests.pages.browser import Browser
from tests.pages.crawling import page_routes
from tests.support.house import House
from twinlock import pages
from twinlock.testing.authenticator import FakeAuthenticator

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


def offers_to_leave(html: str) -> bool:
    return 'href="/logout"' in html or 'action="/logout"' in html


def test_every_page_that_wants_a_session_offers_to_sign_out(
    sqlite_house: House, console: Browser
) -> None:
    """ASVS 5.0 7.4.4. Which pages do is told by where a stranger is led."""
    stranger = Browser(sqlite_house.client())
    console.open("/account")
    own = [link for link in console.read().links if link.startswith("/factors/")]
    paths = {*page_routes(sqlite_house.app), *own}
    wanting = [path for path in sorted(paths) if stranger.open(path).url.path == "/login"]

    shown = {path: console.open(path) for path in wanting if path != "/admin/events/export"}
    left_out = [path for path, one in shown.items() if not offers_to_leave(one.text)]

    assert {"/account/password", "/factors/new", "/reauthenticate", "/admin/keys"} <= set(wanting)
    assert any(path.endswith("/remove") for path in wanting)
    assert left_out == []


def test_every_step_of_setting_up_offers_to_sign_out(sqlite_house: House, browser: Browser) -> None:
    """ASVS 5.0 7.4.4, for pages that only a form leads to."""
    browser.sign_in()
    browser.open("/factors/new")
    steps = [browser.send("/factors/totp")]
    phone = FakeAuthenticator.from_uri(browser.form("/confirm").fields["uri"])
    steps.append(browser.send("/confirm", answer="000000"))
    steps.append(browser.send("/confirm", answer=phone.code(sqlite_house.now)))
    steps.append(browser.open(next(one for one in browser.read().links if "/check" in one)))
    steps.append(browser.send("/check", answer="AAAA"))
    browser.open("/factors/new")
    steps.append(browser.send("/factors/passkey"))
    steps.append(browser.send("/confirm", answer="{}"))

    assert "Save your recovery codes" in steps[2].text
    assert [one.url.path for one in steps if not offers_to_leave(one.text)] == []
    browser.open("/logout")
    browser.send("/logout")
    assert browser.open("/account").url.path == "/login"
