"""A person with a real browser at the pages, and what is noticed on the way.

With PAGES_SHOTS=<folder> every state is also photographed.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, async_playwright

from tests.support.house import PASSWORD, House
from twinlock.testing.authenticator import FakeAuthenticator

ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
WCAG: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SHOTS: Final = os.environ.get("PAGES_SHOTS")
PHONE: Final = (390, 844)
NARROW: Final = (320, 640)
DESKTOP: Final = (1280, 800)
_JUDGE: Final = """async only => {
  const found = await axe.run(document, {runOnly: only, resultTypes: ["violations"]});
  return found.violations.map(
    one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 160)).join(" | ")}`);
}"""
_DENIALS: Final = ("401", "400", "403", "404", "429")


async def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe has against a page, by all of WCAG or by some *rules* alone."""
    if not await page.evaluate("'axe' in globalThis"):
        await page.evaluate(AXE_SCRIPT)
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": WCAG}
    found: list[str] = await page.evaluate(_JUDGE, only)
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def serving(house: House, listener: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(house.app, log_config=None, ws="none", lifespan="on"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


@dataclass
class Walk:
    """One person with one browser, and what was noticed on the way."""

    house: House
    page: Page
    name: str
    has_javascript: bool
    seen: list[str] = field(default_factory=list)

    async def check(self, state: str) -> None:
        """Look at a state: accessible, nothing cut off, nothing odd; take its picture."""
        if SHOTS:
            folder = Path(SHOTS)
            await asyncio.to_thread(folder.mkdir, exist_ok=True, parents=True)
            await self.page.screenshot(path=folder / f"{state}-{self.name}.png", full_page=True)
        if not self.has_javascript:
            return
        width = await self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        if width[0] > width[1]:
            self.seen.append(f"{state}: {width[0]} px wide in {width[1]}")
        self.seen += [f"{state}: {one}" for one in await violations(self.page)]

    async def go(self, path: str, state: str = "") -> None:
        """Open a page."""
        await self.page.goto(path)
        if state:
            await self.check(state)

    async def send(self, button: str, state: str = "", **typed: str) -> None:
        """Type into fields by their ids, and press a button by its name."""
        for id_, text in typed.items():
            await self.page.fill(f"#{id_}", text)
        async with self.page.expect_navigation():
            await self.page.get_by_role("button", name=button, exact=True).first.click()
        if state:
            await self.check(state)

    async def follow(self, link: str, state: str = "") -> None:
        """Follow a link by its name."""
        async with self.page.expect_navigation():
            await self.page.get_by_role("link", name=link, exact=True).first.click()
        if state:
            await self.check(state)

    def watch(self) -> None:
        """Notice what the console says, and every request to another site."""

        def said(message: Any) -> None:
            is_denial = any(f"status of {status}" in message.text for status in _DENIALS)
            if message.type != "info" and not is_denial:
                self.seen.append(f"{self.page.url}: {message.type}: {message.text}")

        def asked(request: Any) -> None:
            if not request.url.startswith((self.house.settings.base_url, "data:", "blob:")):
                self.seen.append(f"asked {request.url}")

        self.page.on("console", said)
        self.page.on("pageerror", lambda error: self.seen.append(f"{self.page.url}: {error}"))
        self.page.on("request", asked)

    async def press(self, selector: str, state: str = "") -> None:
        """Press what a selector finds first."""
        async with self.page.expect_navigation():
            await self.page.locator(selector).first.click()
        if state:
            await self.check(state)

    async def sign_in(self, name: str = "johndoe", password: str = PASSWORD) -> None:
        """Type name and password into the page that asks for them."""
        await self.page.fill("#username", name)
        await self.page.fill("#password", password)
        await self.press("button.main")

    async def phone(self) -> FakeAuthenticator:
        """Return an app that scanned the key of this page."""
        uri = await self.page.locator("[name=uri]").get_attribute("value")
        return FakeAuthenticator.from_uri(uri or "")


@asynccontextmanager
async def walking(
    browser: Browser,
    house: House,
    size: tuple[int, int] = DESKTOP,
    scheme: Any = "light",
    *,
    javascript: bool = True,
    locale: str = "en-GB",
) -> AsyncIterator[Walk]:
    """Open a browser of its own, whose walk is watched."""
    context = await browser.new_context(
        base_url=house.settings.base_url,
        locale=locale,
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        java_script_enabled=javascript,
        reduced_motion="reduce",
    )
    name = f"{locale[:2]}-{scheme}-{size[0]}{'' if javascript else '-nojs'}"
    walk = Walk(house, await context.new_page(), name, javascript)
    walk.watch()
    try:
        yield walk
    finally:
        await context.close()
