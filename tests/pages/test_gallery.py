"""Every page of people in every state, judged by axe in Chromium; none is left out.

What there is to see comes from the templates themselves (`gallery`), how to see it from `visits`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page, Route

from tests.pages.browser import SITE
from tests.pages.chromium import chromium, violations
from tests.pages.gallery import Gallery, Shown, people_templates, where
from tests.pages.guide import Guide
from tests.pages.visits import VISITS, security, signing_in
from tests.support.house import House
from twinlock.pages.assets import Assets

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

SHOTS: Final = os.environ.get("PAGES_SHOTS")
EVERYTHING: Final = {
    "email_codes_enabled": True,
    "registration_enabled": True,
    "invitations_enabled": True,
    "pages_contact": "help@example.com",
}
WIDE, NARROW, ZOOMED = (1280, 800), (320, 640), (640, 400)
"""A desktop, a small phone, and a desktop at 200 %."""


def is_excused(branch: tuple[str, int, int]) -> bool:
    """Tell whether nobody can see it, or whose it is."""
    name, text, number = branch[0], where(branch), branch[2]
    return (
        # No page offers another address where no mail is sent.
        (name == "account/email.html" and "mail_unavailable" in text)
        # For refusals that have no words of their own yet.
        or (name == "factors/refused.html" and "too_many_authenticators" in text and number == 2)
        # Without mail nothing else here could be visited.
        or (name == "login/help.html" and "can_recover" in text and number == 2)
        # The console's icons.
        or (name == "_parts.html" and "macro icon" in text and number in {13, 14})
        # The other test's: an operator's logo, and from right to left.
        or "{% if logo %}" in text
        # An operator's contact of another kind, or none: `test_words` has them.
        or "macro contact_line" in text
        or name == "base.html"
    )


def visited(
    house: House, visits: tuple[Callable[[Guide], None], ...] = VISITS, *, language: str = "en"
) -> Gallery:
    """Make every visit; return what was seen."""
    gallery = Gallery()
    gallery.watch(house)
    with house.open() as client:
        gallery.parse_all(house, people_templates())
        guide = Guide(house, client, gallery, language)
        for visit in visits:
            visit(guide)
    return gallery


@dataclass
class Judge:
    """Shows a page that somebody saw to Chromium, and to axe."""

    page: Page
    assets: Assets
    shown: Shown | None = None
    said: list[str] = field(default_factory=list)

    async def answer(self, route: Route) -> None:
        """Send what the application sent, and nothing from elsewhere."""
        url = route.request.url
        if self.shown is not None and url == self.shown.url:
            await route.fulfill(
                status=self.shown.status, headers=self.shown.headers, body=self.shown.body
            )
            return
        found = self.assets.get(url.rpartition("/")[2])
        if found is None or not url.startswith(f"{SITE}/static/"):
            self.said.append(f"{self.shown and self.shown.name}: asked for {url}")
            await route.abort()
            return
        await route.fulfill(body=found.content, content_type=found.media_type)

    async def look(self, shown: Shown, sizes: tuple[tuple[int, int], ...], *, shot: str) -> None:
        """Judge it in both schemes, and whether it fits."""
        self.shown = shown
        await self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        await self.page.goto(shown.url)
        found = await violations(self.page)
        await self.page.emulate_media(color_scheme="dark")
        found += await violations(self.page, "color-contrast")
        self.said += [f"{shown.name}: {one}" for one in found]
        for size in sizes:
            await self.page.set_viewport_size({"width": size[0], "height": size[1]})
            widths = await self.page.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            )
            if widths[0] > widths[1]:
                self.said.append(f"{shown.name}: {widths[0]} px wide in {widths[1]}")
            if SHOTS:
                await self.page.emulate_media(color_scheme="dark" if size == NARROW else "light")
                path = Path(SHOTS) / f"{shot}-{size[0]}.png"
                await self.page.screenshot(path=path, full_page=True)


@asynccontextmanager
async def judging(browser: Browser, house: House) -> AsyncIterator[Judge]:
    """Open a page that reaches nothing but what the gallery holds."""
    context = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    judge = Judge(page, house.app.state.twinlock_pages.assets)

    def heard(text: str) -> None:
        if "status of" not in text:
            judge.said.append(f"{judge.shown and judge.shown.name}: {text}")

    page.on("console", lambda said: heard(said.text) if said.type != "info" else None)
    page.on("pageerror", lambda error: heard(str(error)))
    await context.route("**/*", judge.answer)
    try:
        yield judge
    finally:
        await context.close()


async def judged(house: House, gallery: Gallery) -> list[str]:
    """Judge everything in a gallery; return what was noticed."""
    sizes = (NARROW, ZOOMED, WIDE)
    async with chromium() as browser, judging(browser, house) as judge:
        for number, shown in enumerate(gallery.different()):
            name = f"{number:03}-{shown.template.replace('/', '-')[:-5]}"
            await judge.look(shown, sizes, shot=name)
    return judge.said


def test_every_page_and_state_is_accessible_in_both_schemes(sqlite_house: House) -> None:
    house = sqlite_house.again(**EVERYTHING)
    gallery = visited(house)

    said = asyncio.run(judged(house, gallery))

    assert not said, "\n".join(said)
    unheard = [shown.name for shown in gallery.shown.values() if not shown.is_heard]
    assert not unheard, "nobody is told by ear\n" + "\n".join(unheard)
    unseen = [
        where(branch)
        for branch in sorted(gallery.branches - gallery.taken)
        if not branch[0].startswith("admin/") and not is_excused(branch)
    ]
    assert not unseen, "no visit reaches\n" + "\n".join(unseen)
    seen = {template for template, _ in gallery.shown} | {name for name, _, _ in gallery.taken}
    whole = {name for name in people_templates() if not name.rpartition("/")[2].startswith("_")}
    # It is for doors at which nothing can be enrolled; at pages one always can.
    missing = whole - seen - {"auth.html", "login/enrollment_required.html"}
    assert not missing


def test_pages_with_a_logo_from_right_to_left_are_accessible(
    sqlite_house: House, tmp_path: Path
) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 1" width="96"/>')
    house = sqlite_house.again(pages_logo=logo, **EVERYTHING)
    gallery = visited(house, (signing_in, security), language="ar")

    said = asyncio.run(judged(house, gallery))

    assert not said, "\n".join(said)
    assert {"base.html", "inside.html", "_parts.html"} <= {name for name, _, _ in gallery.taken}
