"""The JavaScript of the how-to pages runs in Chromium, as it is written there."""

import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.async_api import Page, async_playwright

from tests.docs.pages import PASSWORD, run
from tests.docs.test_docs import DOCS, blocks
from tests.e2e.test_passkeys_in_a_browser import (
    ARGUMENTS,
    PAGE,
    Device,
    pytestmark,  # noqa: F401 - pytest reads it here
)
from twinlock.core.clock import utc_now
from twinlock.testing import CreateUser, FakeAuthenticator, Instances, MovableClock


@pytest.fixture
def twinlock_clock() -> MovableClock:
    """The browser's time, until the test moves it."""
    return MovableClock(utc_now())


@pytest.fixture
def url(twinlock_auth: Instances, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the application of the page on WebSockets runs, with a page of its own."""
    monkeypatch.setenv("TWINLOCK_ENVIRONMENT", "development")
    made = run("websockets")
    app: FastAPI = made["app"]

    @app.get("/ours", response_class=HTMLResponse)
    def ours() -> str:
        return PAGE

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://localhost:{listening.getsockname()[1]}"
        twinlock_auth(made["auth"], base_url=url)
        config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield url
        server.should_exit = True
        thread.join()


@pytest.fixture
async def page(url: str) -> AsyncIterator[Page]:
    """The page in Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which(os.environ.get("CHROMIUM", "chromium")), args=ARGUMENTS
        )
        page = await browser.new_page()
        await page.goto(f"{url}/ours")
        yield page
        await browser.close()


@dataclass
class Script:
    """The JavaScript of a how-to page, loaded into a page of ours."""

    page: Page
    parts: list[str]

    @classmethod
    async def of(cls, name: str, page: Page) -> "Script":
        """Define the functions of a how-to page."""
        parts = blocks(DOCS / "how-to" / f"{name}.md", "js")
        for part in parts:
            if part.startswith(("async function", "function")):
                await page.add_script_tag(content=part)
        return cls(page, parts)

    async def call(self, call: str) -> dict[str, Any]:
        """Call one of the functions."""
        told: dict[str, Any] = await self.page.evaluate(f"async () => await {call}")
        return told


async def test_passkeys(page: Page, create_user: CreateUser) -> None:
    create_user("alice", password=PASSWORD)
    await Device.plug_in(page)
    script = await Script.of("passkeys", page)
    body = f'{{username: "alice", password: "{PASSWORD}"}}'
    token = (await script.call(f'post("/api/login", {body})'))["access_token"]

    enrolled = await script.call(f'enroll("{token}", "Laptop")')
    alone = await script.call("signIn()")

    assert enrolled["factor"]["label"] == "Laptop"
    assert len(enrolled["recovery_codes"]) == 10
    assert (alone["status"], alone["acr"]) == ("signed_in", "phr")


async def test_browser_clients(
    page: Page, create_user: CreateUser, twinlock_clock: MovableClock
) -> None:
    create_user("alice", password=PASSWORD)
    script = await Script.of("browser-clients", page)
    read = '(await fetch("/api/account")).json()'
    send = """async ([path, csrf, body]) => (await fetch(path, {method: "POST",
        headers: {"X-CSRF-Token": csrf, "Content-Type": "application/json"},
        body: JSON.stringify(body)})).json()"""

    first = await script.call(f'signIn("alice", "{PASSWORD}")')
    begun = await page.evaluate(send, ["/api/factors/totp", first["csrf_token"], {}])
    phone = FakeAuthenticator.from_uri(begun["options"]["uri"])
    body = {"enrollment": begun["enrollment"], "answer": phone.code(twinlock_clock())}
    await page.evaluate(send, ["/api/factors/totp/confirm", first["csrf_token"], body])
    login = await script.call(f'signIn("alice", "{PASSWORD}")')
    code = phone.code(twinlock_clock.advance(seconds=30))
    done = await script.call(f'answer("{login["login"]}", "totp", "{code}")')
    again = await script.call(read)
    (sign_out,) = (part for part in script.parts if part.startswith("await fetch"))
    await page.evaluate(f"async csrfToken => {{ {sign_out} }}", done["csrf_token"])
    ended = await script.call(read)

    assert "access_token" not in {**first, **done}
    assert login["status"] == "second_factor_required"
    assert (done["status"], done["acr"]) == ("signed_in", "aal2")
    assert again["csrf_token"] == done["csrf_token"]
    assert ended["type"] == "not_authenticated"


async def test_websockets(page: Page, url: str, create_user: CreateUser) -> None:
    create_user("alice", password=PASSWORD)
    script = await Script.of("passkeys", page)
    body = f'{{username: "alice", password: "{PASSWORD}"}}'
    token = (await script.call(f'post("/api/login", {body})'))["access_token"]
    (code,) = blocks(DOCS / "how-to" / "websockets.md", "js")
    code = code.replace("wss://example.com", url.replace("http", "ws"))

    told = await page.evaluate(
        f"""accessToken => new Promise((answer, refuse) => {{
            {code}
            socket.onopen = () => socket.send("hello");
            socket.onmessage = message => answer([message.data, socket.protocol]);
            socket.onclose = refuse;
        }})""",
        token,
    )

    assert told == ["alice: hello", "twinlock.bearer"]
