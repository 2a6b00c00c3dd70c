"""Photograph the main pages of a running login server, in both schemes, into `docs/images`.

    python scripts/screenshots.py [FOLDER]

It needs Chromium (`CHROMIUM` names another than /usr/bin/chromium) and nothing from the network:
an installation is made for it, and people who sign in.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a file, too

from scripts.console_pictures import photograph
from twinlock.app import Twinlock
from twinlock.login_server import create_app
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.clock import MovableClock
from twinlock.testing.installation import initialise, make_settings, migrate
from twinlock.testing.people import create_user

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
THEMED = ROOT / "examples" / "themed_pages"
PASSWORD = "correct horse battery staple"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
DESK, PHONE = (1120, 800), (390, 800)
ON_A_PHONE = tuple(
    f"phone-{scheme}-{page}"
    for scheme in SCHEMES
    for page in ("sign-in", "second-factor", "security", "admin-overview", "admin-account")
)
PEOPLE = {
    "desk-light": "marlene",
    "phone-light": "joost",
    "desk-dark": "amara",
    "phone-dark": "kenji",
}
BROWSERS = {
    "mac": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15",
    "phone": "Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36",
    "windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
}


@dataclass
class Studio:
    """An installation, its clock, a browser, and where pictures go."""

    auth: Twinlock
    clock: MovableClock
    browser: Browser
    folder: Path
    made: list[Path] = field(default_factory=list)

    @asynccontextmanager
    async def visitor(
        self, scheme: Literal["light", "dark"], size: tuple[int, int], device: str = "mac"
    ) -> AsyncIterator[Page]:
        """Open a browser of its own."""
        context: BrowserContext = await self.browser.new_context(
            base_url=self.auth.settings.base_url,
            color_scheme=scheme,
            locale="en-GB",
            timezone_id="Europe/Berlin",
            reduced_motion="reduce",
            user_agent=BROWSERS[device],
            viewport={"width": size[0], "height": size[1]},
        )
        try:
            yield await context.new_page()
        finally:
            await context.close()

    async def shoot(self, page: Page, name: str) -> None:
        """Take a picture of what is to be seen, where it is one that the docs show."""
        if name.startswith("phone") and not name.startswith(ON_A_PHONE):
            return
        await page.evaluate("document.activeElement?.blur()")
        path = self.folder / f"{name}.png"
        await page.screenshot(path=path)
        self.made.append(path)

    async def sign_in(self, page: Page, name: str, phone: FakeAuthenticator | None = None) -> None:
        """Sign in, with both factors where there are two."""
        await page.goto("/login")
        await page.fill("#username", name)
        await page.fill("#password", PASSWORD)
        await press(page, "Continue")
        if phone is not None:
            self.clock.advance(seconds=30)
            await page.fill("#answer", phone.code(self.clock()))
            await page.check("[name=trust_device]")
            await press(page, "Sign in")


async def press(page: Page, button: str) -> None:
    """Press a button and wait for the page that follows."""
    async with page.expect_navigation():
        await page.get_by_role("button", name=button).first.click()


async def enrolled(studio: Studio, page: Page, label: str, *, pictures: str = "") -> str:
    """Set up an authenticator app; return its URI."""
    await page.goto("/factors/new")
    await press(page, "Authenticator app")
    uri = await page.locator("[name=uri]").get_attribute("value") or ""
    if pictures:
        await studio.shoot(page, f"{pictures}-enrollment")
    studio.clock.advance(seconds=30)
    await page.fill("#answer", FakeAuthenticator.from_uri(uri).code(studio.clock()))
    await page.fill("#label", label)
    await press(page, "Confirm and continue")
    return uri


async def person(studio: Studio, scheme: Literal["light", "dark"], size: tuple[int, int]) -> None:
    """Photograph a person's way: sign-in, set-up, recovery codes, second factor, account."""
    kind = f"{'phone' if size == PHONE else 'desk'}-{scheme}"
    name = PEOPLE[kind]
    await asyncio.to_thread(
        create_user,
        studio.auth,
        name,
        password=PASSWORD,
        email=f"{name}@harbour.example",
        full_name=name.capitalize(),
    )
    async with studio.visitor(scheme, size) as page:
        await page.goto("/login")
        await studio.shoot(page, f"{kind}-sign-in")
        await studio.sign_in(page, name)
        uri = await enrolled(studio, page, f"{name.capitalize()}’s phone", pictures=kind)
        await studio.shoot(page, f"{kind}-recovery-codes")
        kept = await page.locator("#codes li").first.inner_text()
        await page.goto("/factors/recovery_codes/check")
        await page.fill("#answer", kept)
        await press(page, "Finish")
    phone = FakeAuthenticator.from_uri(uri)
    for device in ("phone", "windows"):
        studio.clock.advance(hours=3)
        async with studio.visitor(scheme, size, device) as page:
            await studio.sign_in(page, name, phone)
    studio.clock.advance(hours=2)
    async with studio.visitor(scheme, size) as page:
        await page.goto("/login")
        await page.fill("#username", name)
        await page.fill("#password", PASSWORD)
        await press(page, "Continue")
        await studio.shoot(page, f"{kind}-second-factor")
        studio.clock.advance(seconds=30)
        await page.fill("#answer", phone.code(studio.clock()))
        await press(page, "Sign in")
        await studio.shoot(page, f"{kind}-security")


@asynccontextmanager
async def studio_of(browser: Browser, folder: Path, **wanted: object) -> AsyncIterator[Studio]:
    """Run a login server with these settings, for as long as its pictures are taken."""
    clock = MovableClock()
    with (
        tempfile.TemporaryDirectory() as scratch,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        settings = make_settings(
            Path(scratch) / "data",
            f"sqlite:///{scratch}/twinlock.sqlite3",
            base_url=f"http://localhost:{listener.getsockname()[1]}",
            **wanted,
        )
        migrate(settings.database_url)
        initialise(settings, clock=clock)
        app = create_app(settings, clock=clock)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Studio(app.state.twinlock, clock, browser, folder)
        finally:
            server.should_exit = True
            await serving


async def main(folder: Path) -> list[Path]:
    """Make every picture."""
    made: list[Path] = []
    async with async_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        name = "Harbour Records"
        async with studio_of(
            browser, folder, service_name=name, invitations_enabled=True
        ) as studio:
            for scheme in SCHEMES:
                for size in (DESK, PHONE):
                    await person(studio, scheme, size)
            await photograph(studio, SCHEMES, {"desk": DESK, "phone": PHONE}, PASSWORD, press)
            made += studio.made
        async with studio_of(
            browser,
            folder,
            service_name="Harbour & Sons",
            pages_logo=THEMED / "logo.svg",
            pages_stylesheet=THEMED / "theme.css",
            pages_templates=THEMED / "templates",
        ) as studio:
            for scheme in SCHEMES:
                async with studio.visitor(scheme, DESK) as page:
                    await page.goto("/login")
                    await studio.shoot(page, f"desk-{scheme}-themed")
            made += studio.made
        await browser.close()
    return made


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else IMAGES
    target.mkdir(parents=True, exist_ok=True)
    pictures = asyncio.run(main(target))
    for picture in pictures:
        print(f"{picture.stat().st_size // 1024:>4} KiB  {picture}")
