"""Passkeys in a real browser: Chromium with a virtual authenticator, at a server that runs."""

import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.async_api import Page, async_playwright

from tests.support.house import PASSWORD, House
from twinlock.core.clock import utc_now

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not shutil.which(os.environ.get("CHROMIUM", "chromium"))
        and "TESTS_REQUIRE" not in os.environ,
        reason="chromium is not installed; `make test` installs it",
    ),
]
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
]  # fmt: skip
AUTHENTICATOR = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
PAGE = (
    "<!doctype html><html lang=en><title>Passkeys</title><link rel=icon href='data:,'><h1>Ours</h1>"
)
SCRIPT = """
async (call) => {
  const post = async (path, body, token) => {
    const headers = {"Content-Type": "application/json"};
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)});
    return {status: response.status, ...await response.json()};
  };
  const creation = (options) => PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const request = (options) => PublicKeyCredential.parseRequestOptionsFromJSON(options);
  try {
    return await ({
      password: () => post("/api/login", {username: call.username, password: call.password}),
      enroll: async () => {
        const begun = await post("/api/factors/passkey", {}, call.token);
        const made = await navigator.credentials.create({publicKey: creation(begun.options)});
        const body = {enrollment: begun.enrollment, answer: made.toJSON(), label: "Laptop"};
        return post("/api/factors/passkey/confirm", body, call.token);
      },
      second: async () => {
        const begun = await post("/api/login", {username: call.username, password: call.password});
        const {options} = begun.methods.find((one) => one.method === "passkey");
        const got = await navigator.credentials.get({publicKey: request(options)});
        return post("/api/login/passkey", {login: begun.login, answer: got.toJSON()});
      },
      alone: async () => {
        const begun = await post("/api/passkey/begin", {});
        const got = await navigator.credentials.get({publicKey: request(begun.options)});
        return post("/api/passkey/finish", {login: begun.login, answer: got.toJSON()});
      },
    })[call.act]();
  } catch (error) {
    return {error: error.name};
  }
}
"""


@contextmanager
def serving(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """Run the login server on a thread, as `twinlock serve` runs it in a process."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def house(tmp_path: Path, migrated_sqlite: Path) -> Iterator[House]:
    """A login server at a port of its own, with one account."""
    shutil.copyfile(migrated_sqlite, tmp_path / "twinlock.sqlite3")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://localhost:{listening.getsockname()[1]}"
        made = House(tmp_path / "data", f"sqlite:///{tmp_path / 'twinlock.sqlite3'}", base_url=url)
        made.clock.now = utc_now()

        @made.app.get("/ours", response_class=HTMLResponse)
        def ours() -> str:
            return PAGE

        with serving(made.app, listening):
            yield made


@pytest.fixture
async def page(house: House) -> AsyncIterator[Page]:
    """A page of ours in Chromium."""
    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        # The server lets no script run on what is no page of its own, as this one is.
        context = await browser.new_context(base_url=house.settings.base_url, bypass_csp=True)
        page = await context.new_page()
        await page.goto("/ours")
        yield page
        await browser.close()


class Device:
    """The virtual authenticator of a page, through the DevTools protocol."""

    def __init__(self, cdp: Any, authenticator_id: str) -> None:
        self._cdp = cdp
        self._id = {"authenticatorId": authenticator_id}

    @classmethod
    async def plug_in(cls, page: Page, **options: Any) -> "Device":
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("WebAuthn.enable", {"enableUI": False})
        made = await cdp.send(
            "WebAuthn.addVirtualAuthenticator", {"options": {**AUTHENTICATOR, **options}}
        )
        return cls(cdp, made["authenticatorId"])

    async def credentials(self) -> list[dict[str, Any]]:
        found = await self._cdp.send("WebAuthn.getCredentials", self._id)
        held: list[dict[str, Any]] = found["credentials"]
        return held

    async def put_back(self, credential: dict[str, Any]) -> None:
        """Replace what it holds by a copy made earlier."""
        await self._cdp.send("WebAuthn.clearCredentials", self._id)
        await self._cdp.send("WebAuthn.addCredential", {**self._id, "credential": credential})

    async def verify_user(self, *, is_right: bool) -> None:
        await self._cdp.send("WebAuthn.setUserVerified", {**self._id, "isUserVerified": is_right})


async def act(page: Page, what: str, **given: Any) -> dict[str, Any]:
    call = {"act": what, "username": "johndoe", "password": PASSWORD, **given}
    done: dict[str, Any] = await page.evaluate(SCRIPT, call)
    return done


async def test_a_passkey_from_enrollment_to_signing_in_alone(house: House, page: Page) -> None:
    house.create()
    device = await Device.plug_in(page, defaultBackupEligibility=True, defaultBackupState=True)
    first = await act(page, "password")
    assert first.get("status") == "signed_in", first
    token = first["access_token"]

    enrolled = await act(page, "enroll", token=token)
    second = await act(page, "second")
    alone = await act(page, "alone")
    again = await act(page, "enroll", token=alone["access_token"])
    await device.verify_user(is_right=False)
    unverified = await act(page, "alone")

    assert enrolled["status"] == "signed_in", enrolled
    assert len(enrolled["recovery_codes"]) == 10
    assert (second["acr"], second["amr"]) == ("phr", ["pwd", "swk", "user", "mfa"])
    assert (alone["acr"], alone["amr"]) == ("phr", ["swk", "user", "mfa"])
    assert again == {"error": "InvalidStateError"}
    assert unverified == {"error": "NotAllowedError"}


async def test_a_copied_security_key_is_denied(house: House, page: Page) -> None:
    house.create()
    device = await Device.plug_in(page)
    token = (await act(page, "password"))["access_token"]
    await act(page, "enroll", token=token)
    (copy,) = await device.credentials()
    for _ in range(2):
        assert (await act(page, "alone"))["acr"] == "phr"

    await device.put_back(copy)
    denied = await act(page, "alone")

    assert denied["type"] == "login_denied"
