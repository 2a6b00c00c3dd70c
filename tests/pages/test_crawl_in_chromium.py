"""A crawl in Chromium as every kind of user: console, reports, foreign requests, dead links."""

import asyncio
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, Response

from tests.pages.administered import enroll
from tests.pages.browser import PageReader
from tests.pages.chromium import DESKTOP, PHONE, Walk, chromium, serving, walking
from tests.pages.crawling import Marking, own_words, page_routes, untranslated
from tests.support.house import OPERATOR, House
from twinlock.core.languages import LANGUAGES
from twinlock.core.proof import Acr
from twinlock.pages import texts
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.authenticator import FakeAuthenticator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

KINDS: Final = ("anonymous", "pending", "enrolling", "plain", "both", "admin")
_MOST_PAGES: Final = 60
_MOST_OF_A_KIND: Final = 3
_REPORTING: Final = """document.addEventListener("securitypolicyviolation",
  event => console.error("refused by policy: " + event.violatedDirective));"""


@dataclass
class Crawl:
    """One person who follows every link."""

    walk: Walk
    kind: str
    words: frozenset[str] | None
    language: str
    seen: set[str] = field(default_factory=set)

    async def run(self, starts: list[str]) -> None:
        """Look at every page within reach; of pages that differ by their id, at some."""
        waiting = [(start, "the routes") for start in starts]
        while waiting and len(self.seen) < _MOST_PAGES:
            path, source = waiting.pop(0)
            shape = "/".join("*" if len(part) > 19 else part for part in path.split("/"))
            alike = [one for one in self.seen if one.startswith(f"{shape} ")]
            if f"{shape} {path}" in self.seen or len(alike) >= _MOST_OF_A_KIND:
                continue
            self.seen.add(f"{shape} {path}")
            waiting += [(link, path) for link in await self._look(path, source)]

    async def _look(self, path: str, source: str) -> list[str]:
        page: Page = self.walk.page
        response: Response | None
        if urlsplit(path).path.endswith("/export"):  # a file, at which no page opens
            response, status = None, (await page.request.get(path)).status
        else:
            response = await page.goto(path)
            status = response.status if response else 0
        if status >= 500 or (status == 404 and source != "the routes"):
            self.walk.seen.append(f"{self.kind}: {source} → {path}: {status}")
        if response is None or "html" not in response.headers.get("content-type", ""):
            return []
        html = await page.content()
        reader = PageReader()
        reader.feed(html)
        self._judge(path, html)
        if self.walk.has_javascript and not await page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ):
            self.walk.seen.append(f"{self.kind}: {path}: too wide")
        return [own for link in reader.links if (own := self._own(link))]

    def _judge(self, path: str, html: str) -> None:
        if f'lang="{self.language}"' not in html:
            self.walk.seen.append(f"{self.kind}: {path}: not in {self.language}")
        if (self.language == "ar") is not ('dir="rtl"' in html):
            self.walk.seen.append(f"{self.kind}: {path}: reads in the wrong direction")
        if self.words is not None:
            for text in untranslated(html, self.words):
                self.walk.seen.append(f"{self.kind}: {path}: not translated: {text!r}")

    def _own(self, link: str) -> str | None:
        if link.startswith(("data:", "otpauth:", "#", "mailto:")) or "/static/" in link:
            return None
        target, _ = urldefrag(urljoin(self.walk.page.url, link))
        if not target.startswith(self.walk.house.settings.base_url):
            self.walk.seen.append(f"{self.walk.page.url} → {link}: leads elsewhere")
            return None
        parts = urlsplit(target)
        if parts.path in {"/language", "/docs", "/openapi.json"}:
            return "/language"  # its links differ by where they lead back to
        return parts.path + (f"?{parts.query}" if parts.query else "")


def settle(house: House) -> dict[str, FakeAuthenticator]:
    """Let one person of each kind move in; return who has an authenticator app."""
    for name in KINDS[1:]:
        house.create(name, roles=("admin",) if name == "admin" else ())
    phones = {name: enroll(house, name) for name in ("pending", "both", "admin")}
    demanded = Policy(
        Kind.ACCOUNT,
        house.account("enrolling").subject,
        Acr.AAL2,
        since=house.now - timedelta(days=1),
    )
    house.policy_administration.set_policy(demanded, OPERATOR, now=house.now)
    return phones


async def crawl(
    browser: Chromium,
    house: House,
    kind: str,
    phone: FakeAuthenticator | None,
    *,
    locale: str = "en-GB",
    javascript: bool = True,
    marked: bool = False,
) -> list[str]:
    """Sign somebody in, as far as this kind goes, and follow every link."""
    size = PHONE if locale == "ar" else DESKTOP
    async with walking(browser, house, size, javascript=javascript, locale=locale) as walk:
        if javascript:
            await walk.page.context.add_init_script(_REPORTING)
        if kind != "anonymous":
            await walk.go("/login")
            await walk.sign_in(kind)
        if kind in {"both", "admin"} and phone is not None:
            await walk.page.fill("#answer", phone.code(house.now))
            await walk.press("button.main")
        words = own_words(house, *KINDS, "John Doe example com Phone UTC Chrome Linux Headless")
        one = Crawl(walk, kind, words if marked else None, locale[:2])
        here = urlsplit(walk.page.url).path if kind != "anonymous" else "/"
        await one.run([here, *sorted(set(page_routes(house.app)))])
        assert len(one.seen) > 10, one.seen
        return walk.seen


async def crawled(house: House, listener: socket.socket, **how: object) -> str:
    """Crawl as everybody at once; return what was noticed."""
    async with serving(house, listener), chromium() as browser:
        phones = await asyncio.to_thread(settle, house)
        kinds = KINDS if how.get("javascript", True) else ("anonymous", "plain", "enrolling")
        noticed = await asyncio.gather(
            *(crawl(browser, house, kind, phones.get(kind), **how) for kind in kinds)  # type: ignore[arg-type]
        )
    return "\n".join(one for each in noticed for one in each)


async def test_every_kind_of_user_finds_whole_pages(
    local: House, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "catalogues", lambda: dict.fromkeys(LANGUAGES, Marking()))

    noticed = await crawled(local, listener, marked=True)

    assert not noticed, noticed


async def test_every_kind_of_user_finds_whole_pages_in_arabic(
    local: House, listener: socket.socket
) -> None:
    noticed = await crawled(local, listener, locale="ar")

    assert not noticed, noticed


async def test_without_javascript_no_page_is_lost(local: House, listener: socket.socket) -> None:
    noticed = await crawled(local, listener, javascript=False)

    assert not noticed, noticed
