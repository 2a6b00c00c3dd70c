"""The pages in a real browser: phone and desktop, light and dark, with and without JavaScript.

With PAGES_SHOTS=<folder> every state is also photographed.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from tests.support.house import PASSWORD, House
from twinlock.testing.authenticator import FakeAuthenticator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SHOTS = os.environ.get("PAGES_SHOTS")
PHONE, NARROW, DESKTOP = (390, 844), (320, 640), (1280, 800)


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
        found = await Axe().run(self.page, options={"runOnly": WCAG})
        for one in found.response["violations"]:
            where = [node["html"][:160] for node in one["nodes"]]
            self.seen.append(f"{state}: {one['id']}: {where}")

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

    async def first_factor(self) -> FakeAuthenticator:
        """Sign in and set up an authenticator app, with every mistake on the way."""
        await self.go("/account", "sign-in")
        await self.send("Continue", "sign-in-denied", username="johndoe", password="wrong one")
        assert await self.page.input_value("#username") == "johndoe"
        assert await self.page.input_value("#password") == ""
        await self.send("Continue", "security-empty", password=PASSWORD)
        await self.follow("Add a second factor", "choose")
        async with self.page.expect_navigation():
            await self.page.get_by_role("button", name="Authenticator app").click()
        await self.check("enrollment")
        await self.send("Confirm and continue", "enrollment-denied", answer="000000")
        uri = await self.page.locator("[name=uri]").get_attribute("value")
        phone = FakeAuthenticator.from_uri(uri or "")
        code = phone.code(self.house.now)
        await self.send(
            "Confirm and continue", "codes", answer=f"{code[:3]} {code[3:]}", label="John’s phone"
        )
        codes = await self.page.locator("#codes li").all_text_contents()
        await self.follow("I have saved them", "check-codes")
        await self.send("Finish", "check-codes-denied", answer="XXXX-XXXX")
        await self.send("Finish", "security", answer=codes[7].lower())
        return phone

    async def inside(self, phone: FakeAuthenticator) -> None:
        """Look at everything that the own account has."""
        await self.follow("Rename John’s phone", "rename")
        await self.send("Save", "security-renamed", label="Telefon")
        await self.follow("Remove Telefon", "remove")
        await self.follow("Keep it")
        await self.follow("Activity", "activity")
        await self.go("/account/password", "password")
        await self.send("Change password", "password-denied", current="no", new="a" * 40)
        await self.go("/factors/recovery_codes", "new-codes")
        self.house.clock.advance(minutes=11)
        await self.go("/factors/new", "reauthentication")
        await self.send("Confirm", "reauthentication-denied", answer="000000")
        await self.send("Confirm", answer=phone.code(self.house.now))
        assert urlsplit(self.page.url).path == "/factors/new"
        await self.go("/nothing/here", "missing")
        await self.go("/account")
        await self.send("Sign out", "signed-out")

    async def again(self, phone: FakeAuthenticator) -> None:
        """Sign in with both factors."""
        self.house.clock.advance(seconds=30)
        await self.go("/events")
        await self.send("Continue", "second-factor", username="johndoe", password=PASSWORD)
        await self.send("Sign in", "second-factor-denied", answer="000000")
        await self.page.get_by_text("Recovery code", exact=True).click()
        await self.page.wait_for_url("**/recovery_codes*")
        await self.check("recovery-code")
        await self.send("Sign in", "recovery-code-denied", answer="AAAA")
        await self.page.get_by_text("Authenticator app", exact=True).click()
        await self.page.wait_for_url("**/totp*")
        await self.send("Sign in", "activity-again", answer=phone.code(self.house.now))
        assert urlsplit(self.page.url).path == "/events"
        await self.page.context.clear_cookies(name="__Host-twinlock")
        await self.go("/login/totp", "run-out")
        await self.go("/login/help", "help")


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def local(tmp_path: Path, migrated_sqlite: Path, listener: socket.socket) -> House:
    """A house at an address that a browser can open."""
    database = tmp_path / "twinlock.sqlite3"
    database.write_bytes(migrated_sqlite.read_bytes())
    port = listener.getsockname()[1]
    return House(
        tmp_path,
        f"sqlite:///{database}",
        base_url=f"http://localhost:{port}",
        service_name="Harbour Records",
    )


async def walked(
    browser: Browser, house: House, size: tuple[int, int], scheme: Any, *, javascript: bool
) -> list[str]:
    """Let a person walk through every page; return what was noticed."""
    base = house.settings.base_url
    context = await browser.new_context(
        base_url=base,
        locale="en-GB",
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        java_script_enabled=javascript,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    name = f"{scheme}-{size[0]}{'' if javascript else '-nojs'}"
    walk = Walk(house, page, name, javascript)
    denials = ("401", "400", "403", "404", "429")

    def said(message: Any) -> None:
        is_denial = any(f"status of {status}" in message.text for status in denials)
        if message.type != "info" and not is_denial:
            walk.seen.append(f"{page.url}: {message.type}: {message.text}")

    page.on("console", said)
    page.on("pageerror", lambda error: walk.seen.append(f"{page.url}: {error}"))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((base, "data:", "blob:"))
            else walk.seen.append(f"asked {request.url}")
        ),
    )
    phone = await walk.first_factor()
    await walk.inside(phone)
    await walk.again(phone)
    await context.close()
    return walk.seen


@pytest.mark.parametrize(
    "size,scheme,javascript",
    [
        pytest.param(PHONE, "dark", True, id="phone-dark"),
        pytest.param(DESKTOP, "light", True, id="desktop-light"),
        pytest.param(NARROW, "light", True, id="narrow-light"),
        pytest.param(DESKTOP, "dark", True, id="desktop-dark"),
        pytest.param(PHONE, "light", False, id="phone-without-javascript"),
    ],
)
async def test_every_page_works_and_is_accessible(
    local: House, listener: socket.socket, size: tuple[int, int], scheme: str, javascript: bool
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()

        noticed = await walked(browser, local, size, scheme, javascript=javascript)

    assert not noticed, "\n".join(noticed)


@pytest.mark.parametrize("language", ["de", "fr", "es", "ja", "ar"])
async def test_every_language_fits_a_small_phone(
    local: House, listener: socket.socket, language: str
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        context = await browser.new_context(
            base_url=local.settings.base_url,
            locale=language,
            color_scheme="dark" if language in {"ja", "ar"} else "light",
            viewport={"width": 320, "height": 640},
            reduced_motion="reduce",
        )
        walk = Walk(local, await context.new_page(), language, has_javascript=True)

        async def press(selector: str, state: str) -> None:
            async with walk.page.expect_navigation():
                await walk.page.locator(selector).first.click()
            await walk.check(state)

        await walk.go("/account", "sign-in")
        for password, state in (("wrong", "sign-in-denied"), (PASSWORD, "security-empty")):
            await walk.page.fill("#username", "johndoe")
            await walk.page.fill("#password", password)
            await press("button.main", state)
        await walk.go("/factors/new", "choose")
        await press("form[action$=totp] button", "enrollment")
        uri = await walk.page.locator("[name=uri]").get_attribute("value")
        phone = FakeAuthenticator.from_uri(uri or "")
        await walk.page.fill("#answer", phone.code(local.now))
        await press("button.main", "codes")
        await walk.go("/account", "security")
        await walk.go("/account/password", "password")
        await context.close()

    assert not walk.seen, "\n".join(walk.seen)


async def test_modules_only_shorten_the_way(local: House, listener: socket.socket) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        context = await browser.new_context(base_url=local.settings.base_url, locale="en-GB")
        page = await context.new_page()
        await page.goto("/login")

        await page.fill("#password", "what I typed")
        await page.get_by_role("button", name="Show the password").click()
        shown = await page.get_attribute("#password", "type")
        await page.get_by_role("button", name="Hide the password").click()
        hidden = await page.get_attribute("#password", "type")
        focused = []
        await page.focus("#username")
        for _ in range(4):
            focused.append(await page.evaluate("document.activeElement.textContent.trim()"))
            await page.keyboard.press("Tab")
        shift = await page.evaluate(
            "new Promise(done => { const seen = [];"
            " new PerformanceObserver(list => seen.push(...list.getEntries()"
            ".filter(one => !one.hadRecentInput))).observe({type: 'layout-shift', buffered: true});"
            " requestAnimationFrame(() => requestAnimationFrame(() => done(seen.length))) })"
        )
        await page.evaluate("document.querySelector('label').remove()")
        planted = (await Axe().run(page, options={"runOnly": WCAG})).response["violations"]
        await context.close()

    assert "label" in {one["id"] for one in planted}  # the judge is awake
    assert (shown, hidden) == ("text", "password")
    assert focused[2:] == ["Show the password", "Continue"]
    assert shift == 0


async def test_a_passkey_is_made_and_signs_in_alone_and_after_a_password(
    local: House, listener: socket.socket
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        context = await browser.new_context(base_url=local.settings.base_url, locale="en-GB")
        page = await context.new_page()
        walk = Walk(local, page, "passkey-light-1280", has_javascript=True)
        page.on("pageerror", lambda error: walk.seen.append(str(error)))
        cdp = await context.new_cdp_session(page)
        await cdp.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        added = await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        device = {"authenticatorId": added["authenticatorId"]}

        await walk.go("/account")
        await walk.send("Continue", username="johndoe", password=PASSWORD)
        await walk.go("/factors/new", "choose")
        async with page.expect_navigation():
            await page.get_by_role("button", name="Passkey").first.click()
        await walk.check("create")
        await walk.send("Create passkey", "codes", label="My laptop")
        await walk.go("/account", "security")
        await walk.send("Sign out")
        await cdp.send("WebAuthn.setAutomaticPresenceSimulation", {**device, "enabled": False})
        await walk.go("/events")
        await walk.send("Continue", "second", username="johndoe", password=PASSWORD)
        await cdp.send("WebAuthn.setAutomaticPresenceSimulation", {**device, "enabled": True})
        await walk.send("Continue with passkey")
        after_password = urlsplit(page.url).path
        await walk.send("Sign out")
        await page.goto("/login?next=/factors/new")
        await page.get_by_text("Choose your second lock").first.wait_for()  # by autofill
        local.clock.advance(minutes=11)
        await page.goto("/account/password")
        await walk.check("reauthentication")
        await walk.send("Continue with passkey")
        after_proof = urlsplit(page.url).path
        await context.close()

    assert (after_password, after_proof) == ("/events", "/account/password")
    assert not walk.seen, "\n".join(walk.seen)
