"""The single-page example in a real browser: password, app, passkey, step-up, under its policy."""

import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.e2e.test_passkeys_in_a_browser import (
    ARGUMENTS,
    Device,
    pytestmark,  # noqa: F401 - pytest reads it here
    serving,
)
from tests.examples.conftest import EXAMPLES, PASSWORD, load
from twinlock.core.clock import utc_now
from twinlock.testing import Instances
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.clock import MovableClock
from twinlock.testing.people import create_user


@pytest.fixture
def twinlock_clock() -> MovableClock:
    """The browser's time, until the test moves it."""
    return MovableClock(utc_now())


@pytest.fixture
def site(
    twinlock_auth: Instances, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, ModuleType]]:
    """Where the example runs, with an account."""
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", "development")
    example = load(EXAMPLES / "single_page_app" / "app.py")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://localhost:{listening.getsockname()[1]}"
        twinlock_auth(example.auth, base_url=url)
        with serving(example.app, listening):
            create_user(example.auth, "alice", password=PASSWORD)
            yield url, example


@pytest.fixture
async def page(site: tuple[str, ModuleType]) -> AsyncIterator[Page]:
    """The example's page; whatever its policy blocks, or its script throws, fails the test."""
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which(os.environ.get("CHROMIUM", "chromium")), args=ARGUMENTS
        )
        page = await browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: wrong.append(said.text) if "Content Security" in said.text else None,
        )
        await page.goto(site[0])
        yield page
        await browser.close()
    assert wrong == []


async def test_a_person_enrolls_steps_up_and_comes_back_by_passkey(
    page: Page, twinlock_clock: MovableClock
) -> None:
    await Device.plug_in(page)
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_text("Hello, alice")).to_be_visible()
    await page.get_by_role("button", name="Send it").click()
    await expect(page.get_by_role("alert")).to_have_text("Add a second factor first.")

    await page.get_by_role("button", name="Add an authenticator app").click()
    await expect(page.get_by_label("Code that it shows")).to_be_visible()
    key = await page.locator("#key").text_content()
    phone = FakeAuthenticator.from_uri(f"otpauth://totp/a?secret={key}")
    await page.get_by_label("Code that it shows").fill(phone.code(twinlock_clock()))
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.locator("#codes li")).to_have_count(10)
    await page.get_by_role("button", name="I have kept them").click()
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.locator("#factors li")).to_have_count(2)

    twinlock_clock.advance(minutes=6)
    await page.get_by_role("button", name="Send it").click()
    await page.locator("#proof-code input").fill(phone.code(twinlock_clock()))
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#balance")).to_have_text("90")

    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_role("button", name="Sign in with a passkey").click()
    await page.get_by_role("button", name="Send it").click()
    await expect(page.locator("#balance")).to_have_text("80")
