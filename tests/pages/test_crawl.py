"""Every page that can be reached, by everybody: no link leads nowhere, no text is untranslated.

Pages are found in the application's own routes and by following links, so that new ones are
crawled without a line here. A page that comes from elsewhere (the console) is met in the same way.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from fastapi.testclient import TestClient

from tests.pages.browser import SITE, Browser
from tests.pages.crawling import Marking, own_words, page_routes, untranslated
from tests.support.house import PASSWORD, House
from twinlock.core.languages import LANGUAGES
from twinlock.pages import texts
from twinlock.pages.routes import CONTENT_SECURITY_POLICY
from twinlock.testing.authenticator import FakeAuthenticator

VISITORS: Final = ("anonymous", "bare", "both", "admin", "admin-bare")
_MOST_PAGES: Final = 300


@dataclass
class Crawl:
    """Goes wherever links lead, and notes what is wrong."""

    browser: Browser
    own_words: frozenset[str]
    noticed: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def run(self, starts: list[str]) -> None:
        """Look at every page within reach."""
        waiting = [(start, "the routes") for start in starts]
        while waiting and len(self.seen) < _MOST_PAGES:
            path, source = waiting.pop(0)
            if path in self.seen:
                continue
            waiting += [(link, path) for link in self._look(path, source)]

    def _look(self, path: str, source: str) -> list[str]:
        answer = self.browser.open(path)
        self.seen[path] = answer.status_code
        kind = answer.headers.get("content-type", "")
        is_missing = answer.status_code == 404 and source != "the routes"
        if answer.status_code >= 500 or is_missing:
            self.noticed.append(f"{source} → {path}: {answer.status_code}")
        if not kind.startswith("text/html") or answer.url.path == "/docs":
            return []
        self.seen[self.browser.path] = answer.status_code
        if answer.headers["content-security-policy"] != CONTENT_SECURITY_POLICY:
            self.noticed.append(f"{path}: another content security policy")
        read = self.browser.read()
        if read.inline:
            self.noticed.append(f"{path}: inline {read.inline}")
        self.noticed += [
            f"{path}: not translated: {text!r}"
            for text in untranslated(answer.text, self.own_words)
        ]
        return [own for link in read.links if (own := self._own(path, link))]

    def _own(self, path: str, link: str) -> str | None:
        if link.startswith(("data:", "otpauth:", "#", "mailto:")):
            return None
        target, _ = urldefrag(urljoin(str(self.browser.page.url), link))
        if not target.startswith(SITE):
            self.noticed.append(f"{path} → {link}: leads elsewhere")
            return None
        parts = urlsplit(target)
        if parts.path == "/language":  # its links differ by where they lead back to
            return "/language"
        return parts.path + (f"?{parts.query}" if parts.query else "")


def sign_in_as(kind: str, house: House, browser: Browser, phone: FakeAuthenticator | None) -> None:
    if kind == "anonymous":
        return
    name = "root" if kind.startswith("admin") else "johndoe"
    house.clock.advance(seconds=30)
    browser.sign_in(name)
    if phone is not None:
        browser.send("/login/totp", answer=phone.code(house.now), trust_device="yes")
    browser.open("/account")
    assert browser.path == "/account"


@pytest.mark.parametrize("kind", VISITORS)
def test_whatever_can_be_reached_is_whole(
    sqlite_house: House, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(texts, "catalogues", lambda: dict.fromkeys(LANGUAGES, Marking()))
    with sqlite_house.open() as client:
        sqlite_house.create()
        sqlite_house.create("root", roles=("admin",), full_name="Ada Root")
        phone = None
        if kind in {"both", "admin"}:
            name = "root" if kind == "admin" else "johndoe"
            phone = sqlite_house.enroll(client, name).phone
        browser = Browser(sqlite_house.client())
        sign_in_as(kind, sqlite_house, browser, phone)
        own = own_words(
            sqlite_house, "johndoe root John Doe Ada Root example com Phone testclient UTC"
        )
        crawl = Crawl(browser, own)

        crawl.run(["/", *sorted(set(page_routes(sqlite_house.app)))])

    assert not crawl.noticed, "\n".join(crawl.noticed)
    assert len(crawl.seen) > 15
    assert {"/account", "/login"} <= crawl.seen.keys()


def test_the_crawl_notices_what_is_wrong(
    sqlite_house: House, monkeypatch: pytest.MonkeyPatch, client: TestClient
) -> None:
    """The judge is awake: a dead link, another site, a text that nobody translates."""
    monkeypatch.setattr(texts, "catalogues", lambda: dict.fromkeys(LANGUAGES, Marking()))
    browser = Browser(client)
    pages = sqlite_house.app.state.twinlock_pages
    template = pages._env.get_template("logout/signed_out.html")
    broken = '<p>Forgot</p><a href="/gone">⟦x⟧</a><a href="https://evil.example">⟦x⟧</a>'
    monkeypatch.setattr(template, "render", lambda *a: broken)
    monkeypatch.setattr(pages._env, "get_template", lambda name: template)
    crawl = Crawl(browser, frozenset())

    crawl.run(["/logout"])

    told = "\n".join(crawl.noticed)
    assert "/logout → /gone: 404" in told or "404" in told
    assert "leads elsewhere" in told
    assert "not translated: 'Forgot'" in told
    assert PASSWORD not in told
