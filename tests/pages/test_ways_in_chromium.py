"""The ways back and in, in a real browser: mailed links, demanded factors, language, not me."""

import asyncio
import socket
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from tests.factors.suite import code_in
from tests.pages.chromium import DESKTOP, NARROW, PHONE, Walk, chromium, serving, walking
from tests.support.house import OPERATOR, PASSWORD, House
from twinlock.core.proof import Acr
from twinlock.flows.factor_administration import Removed
from twinlock.policies.policy import Kind, Policy
from twinlock.testing.mail import MailTrap

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

JOHN = "johndoe@example.com"
NEW_PASSWORD = "a purple bicycle under water"
WAYS = [
    pytest.param(PHONE, "dark", True, id="phone-dark"),
    pytest.param(DESKTOP, "light", True, id="desktop-light"),
    pytest.param(NARROW, "light", True, id="narrow-light"),
    pytest.param(NARROW, "dark", False, id="narrow-dark-without-javascript"),
]


async def link(walk: Walk, to: str = JOHN) -> str:
    trap = MailTrap(lambda: walk.house.auth)
    return urlsplit(await asyncio.to_thread(trap.link, to)).path


async def back_in(walk: Walk) -> None:
    """Forget the password, and set another by mail, with every mistake on the way."""
    await walk.go("/login")
    await walk.follow("Forgotten your password?", "forgotten")
    await walk.send("Send the link", "sent", username="johndoe")
    await walk.go(await link(walk), "reset")
    await walk.send("Set the password", "reset-refused", new="password")
    await walk.send("Set the password", "password-set", new=NEW_PASSWORD)
    await walk.go(await link(walk), "dead-link")


async def address(walk: Walk) -> None:
    """Change the e-mail address, and stop another change."""
    await walk.go("/account/email", "email")
    await walk.page.evaluate("document.querySelectorAll('form').forEach(f => f.noValidate = true)")
    await walk.page.fill("#email", "nonsense")
    await walk.press("form button.main", "email-refused")
    await walk.page.fill("#email", "john@new.example")
    await walk.press("form button.main", "security-email-asked")
    await walk.go(await link(walk), "email-cancel")
    await walk.send("Stop the change", "email-kept")
    await walk.go("/account/email")
    await walk.page.fill("#email", "john@new.example")
    await walk.press("form button.main")
    await walk.go(await link(walk, "john@new.example"), "email-confirm")
    await walk.send("Confirm the address", "email-confirmed")


async def not_me(walk: Walk) -> None:
    """Go through the steps of who was not alone in the account."""
    await walk.go("/not-me", "not-me")
    await walk.send("Start", "not-me-begun")
    await walk.follow("Change password")
    await walk.page.fill("#current", NEW_PASSWORD)
    await walk.page.fill("#new", PASSWORD)
    await walk.press("form button.main", "not-me-password")
    await walk.send("Finish")


@pytest.mark.parametrize("size,scheme,javascript", WAYS)
async def test_every_way_back_works_and_is_accessible(
    local: House, listener: socket.socket, size: tuple[int, int], scheme: str, *, javascript: bool
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        async with walking(browser, local, size, scheme, javascript=javascript) as walk:
            if not javascript:  # evaluate() needs it, and the browser checks e-mail addresses
                await back_in(walk)
            else:
                await back_in(walk)
                await walk.go("/login")
                await walk.sign_in(password=NEW_PASSWORD)
                await not_me(walk)
                await address(walk)
            await walk.go("/login")
            await walk.page.locator("footer a").last.click()
            await walk.check("language")
            await walk.press("button[value=de]", "sign-in-german")

    assert not walk.seen, "\n".join(walk.seen)


@pytest.mark.parametrize("size,scheme,javascript", WAYS)
async def test_a_demanded_factor_is_set_up_within_the_sign_in(
    local: House, listener: socket.socket, size: tuple[int, int], scheme: str, *, javascript: bool
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        demanded = Policy(Kind.EVERYONE, "", Acr.AAL2, since=local.now - timedelta(days=1))
        set_policy = local.policy_administration.set_policy
        await asyncio.to_thread(set_policy, demanded, OPERATOR, now=local.now)
        async with walking(browser, local, size, scheme, javascript=javascript) as walk:
            await walk.go("/events")
            await walk.sign_in()
            await walk.check("enroll")
            await walk.press("form[action$=totp] button", "enroll-app")
            phone = await walk.phone()
            await walk.page.fill("#answer", "000000")
            await walk.press("form button.main", "enroll-app-denied")
            await walk.page.fill("#answer", phone.code(local.now))
            await walk.press("form button.main", "enroll-codes")
            codes = await walk.page.locator("#codes li").all_text_contents()
            await walk.follow("I have saved them")
            await walk.page.fill("#answer", codes[0])
            await walk.press("form button.main")
            landed = urlsplit(walk.page.url).path
            await walk.go("/account", "security-devices")
            done = await asyncio.to_thread(
                local.factor_administration.reset, local.account(), OPERATOR, now=local.now
            )
            assert isinstance(done, Removed)
            await walk.go("/login")
            await walk.sign_in()
            await walk.check("enroll-link")
            await walk.page.fill("#token", "x" * 43)
            await walk.press("form button.main")
            await walk.press("form[action$=totp] button", "enroll-link-refused")
            await walk.page.fill("#token", done.link or "")
            await walk.press("form button.main", "enroll-again")

    assert landed == "/events"
    assert not walk.seen, "\n".join(walk.seen)


async def test_a_demanded_passkey_is_made_within_the_sign_in(
    local: House, listener: socket.socket
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        demanded = Policy(Kind.EVERYONE, "", Acr.PHR, since=local.now - timedelta(days=1))
        set_policy = local.policy_administration.set_policy
        await asyncio.to_thread(set_policy, demanded, OPERATOR, now=local.now)
        async with walking(browser, local) as walk:
            cdp = await walk.page.context.new_cdp_session(walk.page)
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
            await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
            await walk.go("/events")
            await walk.sign_in()
            await walk.check("enroll-passkey-only")
            await walk.press("form[action$=passkey] button", "enroll-passkey")
            await walk.send("Create passkey", "enroll-passkey-codes", label="My laptop")
            await walk.go("/account")
            said = await walk.page.locator("h3").first.text_content()

    assert said == "My laptop"
    assert not walk.seen, "\n".join(walk.seen)


@pytest.mark.parametrize("size,scheme", [(DESKTOP, "light"), (PHONE, "dark")])
async def test_the_ways_read_from_right_to_left(
    local: House, listener: socket.socket, size: tuple[int, int], scheme: str
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        async with walking(browser, local, size, scheme, locale="ar") as walk:
            await walk.go("/recovery/password", "forgotten")
            await walk.page.fill("#username", "johndoe")
            await walk.press("form button.main", "sent")
            await walk.go("/login", "sign-in")
            await walk.sign_in()
            await walk.check("security")
            await walk.go("/not-me", "not-me")
            await walk.go("/account/email", "email")
            await walk.go("/factors/new", "choose")
            await walk.press("form[action$=totp] button", "enrollment")

    assert not walk.seen, "\n".join(walk.seen)


@pytest.mark.parametrize("size,scheme,javascript", WAYS)
async def test_codes_by_mail_are_accessible(
    local: House, listener: socket.socket, size: tuple[int, int], scheme: str, *, javascript: bool
) -> None:
    house = local.again(email_codes_enabled=True)
    trap = MailTrap(lambda: house.auth)
    async with serving(house, listener), chromium() as browser:
        house.create()
        async with walking(browser, house, size, scheme, javascript=javascript) as walk:
            await walk.go("/factors/new")
            await walk.sign_in()
            await walk.check("choose-mailed")
            await walk.press("form[action$=email_code] button", "mailed-set-up")
            await walk.page.fill("#answer", "000000")
            await walk.press("form button.main", "mailed-set-up-denied")
            await walk.page.fill("#answer", await asyncio.to_thread(code_in, trap, JOHN))
            await walk.press("form button.main")
            await walk.go("/account", "security-mailed")
            await walk.press("form[action$=logout] button")
            await walk.go("/login")
            await walk.sign_in()
            await walk.check("mailed")
            await walk.press("form[action$=send] button", "mailed-sent")
            await walk.page.fill("#answer", "000000")
            await walk.press("form button.main", "mailed-denied")
            await walk.page.fill("#answer", await asyncio.to_thread(code_in, trap, JOHN))
            await walk.press("form button.main")
            landed = urlsplit(walk.page.url).path

    assert landed == "/account"
    assert not walk.seen, "\n".join(walk.seen)


@pytest.mark.parametrize("size,scheme,javascript", WAYS)
async def test_registering_is_accessible(
    local: House, listener: socket.socket, size: tuple[int, int], scheme: str, *, javascript: bool
) -> None:
    house = local.again(registration_enabled=True)
    async with (
        serving(house, listener),
        chromium() as browser,
        walking(browser, house, size, scheme, javascript=javascript) as walk,
    ):
        await walk.go("/login", "sign-in-registering")
        await walk.follow("Make an account", "register")
        await walk.page.fill("#email", JOHN)
        await walk.press("form button.main", "register-sent")
        await walk.go(await link(walk), "register-form")
        await walk.page.fill("#username", "a b")
        await walk.page.fill("#new", PASSWORD)
        await walk.press("form button.main", "register-form-denied")
        await walk.page.fill("#username", "johndoe")
        await walk.page.fill("#new", PASSWORD)
        await walk.press("form button.main", "enroll-first")
        await walk.press("form[action$=totp] button")
        await walk.page.fill("#answer", (await walk.phone()).code(house.now))
        await walk.press("form button.main", "codes-first")

    assert not walk.seen, "\n".join(walk.seen)
