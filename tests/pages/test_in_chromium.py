"""The pages in a real browser: phone and desktop, light and dark, with and without JavaScript."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser

from tests.pages.chromium import (
    DESKTOP,
    NARROW,
    PHONE,
    Walk,
    chromium,
    serving,
    violations,
    walking,
)
from tests.support.house import PASSWORD, House
from twinlock.testing.authenticator import FakeAuthenticator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def first_factor(walk: Walk) -> FakeAuthenticator:
    """Sign in and set up an authenticator app, with every mistake on the way."""
    await walk.go("/account", "sign-in")
    await walk.send("Continue", "sign-in-denied", username="johndoe", password="wrong one")
    assert await walk.page.input_value("#username") == "johndoe"
    assert await walk.page.input_value("#password") == ""
    await walk.send("Continue", "security-empty", password=PASSWORD)
    await walk.follow("Add a second factor", "choose")
    async with walk.page.expect_navigation():
        await walk.page.get_by_role("button", name="Authenticator app").click()
    await walk.check("enrollment")
    await walk.send("Confirm and continue", "enrollment-denied", answer="000000")
    uri = await walk.page.locator("[name=uri]").get_attribute("value")
    phone = FakeAuthenticator.from_uri(uri or "")
    code = phone.code(walk.house.now)
    await walk.send(
        "Confirm and continue", "codes", answer=f"{code[:3]} {code[3:]}", label="John’s phone"
    )
    codes = await walk.page.locator("#codes li").all_text_contents()
    await walk.follow("I have saved them", "check-codes")
    await walk.send("Finish", "check-codes-denied", answer="XXXX-XXXX")
    await walk.send("Finish", "security", answer=codes[7].lower())
    return phone


async def inside(walk: Walk, phone: FakeAuthenticator) -> None:
    """Look at everything that the own account has."""
    await walk.follow("Rename John’s phone", "rename")
    await walk.send("Save", "security-renamed", label="Telefon")
    await walk.follow("Remove Telefon", "remove")
    await walk.follow("Keep it")
    await walk.follow("Activity", "activity")
    await walk.go("/account/password", "password")
    await walk.send("Change password", "password-denied", current="no", new="a" * 40)
    await walk.go("/factors/recovery_codes", "new-codes")
    walk.house.clock.advance(minutes=11)
    await walk.go("/factors/new", "reauthentication")
    await walk.send("Confirm", "reauthentication-denied", answer="000000")
    await walk.send("Confirm", answer=phone.code(walk.house.now))
    assert urlsplit(walk.page.url).path == "/factors/new"
    await walk.go("/nothing/here", "missing")
    await walk.go("/account")
    await walk.send("Sign out", "signed-out")


async def again(walk: Walk, phone: FakeAuthenticator) -> None:
    """Sign in with both factors."""
    walk.house.clock.advance(seconds=30)
    await walk.go("/events")
    await walk.send("Continue", "second-factor", username="johndoe", password=PASSWORD)
    await walk.send("Sign in", "second-factor-denied", answer="000000")
    await walk.page.get_by_text("Recovery code", exact=True).click()
    await walk.page.wait_for_url("**/recovery_codes*")
    await walk.check("recovery-code")
    await walk.send("Sign in", "recovery-code-denied", answer="AAAA")
    await walk.page.get_by_text("Authenticator app", exact=True).click()
    await walk.page.wait_for_url("**/totp*")
    await walk.send("Sign in", "activity-again", answer=phone.code(walk.house.now))
    assert urlsplit(walk.page.url).path == "/events"
    await walk.page.context.clear_cookies(name="__Host-twinlock")
    await walk.go("/login/totp", "run-out")
    await walk.go("/login/help", "help")


async def walked(
    browser: Browser, house: House, size: tuple[int, int], scheme: Any, *, javascript: bool
) -> list[str]:
    """Let a person walk through every page; return what was noticed."""
    async with walking(browser, house, size, scheme, javascript=javascript) as walk:
        phone = await first_factor(walk)
        await inside(walk, phone)
        await again(walk, phone)
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
        planted = await violations(page)
        await context.close()

    assert any(one.startswith("label: ") for one in planted)  # the judge is awake
    assert (shown, hidden) == ("text", "password")
    assert focused[2:] == ["Show the password", "Forgotten your password?"]
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
