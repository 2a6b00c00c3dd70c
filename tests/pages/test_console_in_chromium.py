"""The console in a real browser, in both schemes and both directions, judged by axe."""

import socket
from datetime import timedelta
from typing import Any

import pytest

from tests.pages.administered import enroll, settle
from tests.pages.chromium import (
    DESKTOP,
    NARROW,
    PHONE,
    Walk,
    chromium,
    serving,
)
from tests.support.house import PASSWORD, House
from twinlock.flows import mailing
from twinlock.mail import store as outbox
from twinlock.mail.letters import Kind, Letter
from twinlock.testing.authenticator import FakeAuthenticator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def furnish(house: House) -> FakeAuthenticator:
    """Give the installation an admin and some people."""
    house.create("root", roles=("admin",), full_name="Ana Ruiz")
    settle(house)
    return enroll(house, "root")


async def sign_in(walk: Walk, phone: FakeAuthenticator) -> None:
    """Sign in with both factors, and open the console."""
    await walk.go("/admin")
    await walk.page.fill("#username", "root")
    await walk.page.fill("#password", PASSWORD)
    async with walk.page.expect_navigation():
        await walk.page.locator("button.main").first.click()
    await walk.page.fill("#answer", phone.code(walk.house.now))
    async with walk.page.expect_navigation():
        await walk.page.locator("button.main").first.click()


async def look_around(walk: Walk) -> None:
    """Open every page of the console."""
    marlene = walk.house.account("m.oduya").subject
    ruprecht = walk.house.account("ruprecht").subject
    await walk.go("/admin", "admin-overview")
    await walk.page.locator("summary").click()
    await walk.check("admin-overview-table")
    await walk.go("/admin/accounts", "admin-accounts")
    await walk.go("/admin/accounts?q=zz", "admin-accounts-empty")
    await walk.go(f"/admin/accounts/{marlene}", "admin-account")
    await walk.go(f"/admin/accounts/{ruprecht}", "admin-account-disabled")
    await walk.go(f"/admin/accounts/{marlene}/reset", "admin-reset")
    await walk.go(f"/admin/accounts/{marlene}/delete", "admin-delete")
    await walk.page.fill("#username", "someone else")
    await walk.page.locator("form[action$=delete] button").click()
    await walk.page.locator("#note").wait_for()
    await walk.check("admin-delete-denied")
    for action in ("roles", "name", "email", "disable"):
        await walk.go(f"/admin/accounts/{marlene}/{action}", f"admin-{action}")
    await walk.go("/admin/invitations", "admin-invitations-empty")
    await walk.go("/admin/invitations/new", "admin-invite")
    await walk.page.fill("#email", "kofi@example.com")
    await walk.page.fill("#username", "kofi asante")
    await walk.page.locator("form[action$=new] button").click()
    await walk.page.locator("#note").wait_for()
    await walk.check("admin-invite-denied")
    await walk.page.fill("#username", "kofi.a")
    await walk.page.locator("form[action$=new] button").click()
    await walk.page.locator("table").wait_for()
    await walk.check("admin-invitations")
    kofi = walk.house.account("kofi.a").subject
    await walk.go(f"/admin/invitations/{kofi}/revoke", "admin-invitation-revoke")
    await walk.go("/admin/events", "admin-events")
    await walk.page.locator("details summary").first.click()
    await walk.check("admin-event-open")
    await walk.go("/admin/events?user=nobody", "admin-events-empty")
    await walk.go("/admin/keys", "admin-keys")
    await walk.go("/admin/keys/rotate", "admin-key-rotate")
    await walk.page.locator("form[action$=rotate] button").click()
    await walk.page.locator("#note").wait_for()
    await walk.check("admin-keys-rotated")
    refuse_a_mail(walk.house)
    await walk.go("/admin/mail", "admin-mail")
    await walk.go("/admin/mail?state=given_up", "admin-mail-given-up")
    await walk.page.locator("form[action$=again] button").click()
    await walk.page.locator("#note").wait_for()
    await walk.check("admin-mail-again")
    await set_a_policy(walk)


def refuse_a_mail(house: House) -> None:
    """Let a mail server have refused a notice."""
    parts, now = house.runtime.parts, house.now
    house.runtime.delivery.close()
    letter = Letter(Kind.TEST, "m.oduya@example.com", {"at": "now"})
    parts.database.transaction(
        mailing.post,
        parts,
        letter,
        subject=house.account("m.oduya").subject,
        lifetime=timedelta(days=1),
        now=now,
    )
    for mail in parts.database.reading(outbox.list_due, now=now, limit=50):
        if mail.kind == Kind.TEST:
            why = "550 5.1.1 mailbox unavailable"
            parts.database.transaction(outbox.give_up, mail, why=why, now=now)


async def set_a_policy(walk: Walk) -> None:
    """Look whom a policy hits, set it, and ask to remove it."""
    await walk.go("/admin/policies", "admin-policies-empty")
    await walk.go("/admin/policies/set", "admin-policy")
    await walk.page.locator("[value=look]").click()
    await walk.page.locator("[value=save]").wait_for()
    await walk.check("admin-policy-seen")
    await walk.page.locator("[value=save]").click()
    await walk.page.locator("#note").wait_for()
    await walk.check("admin-policies")
    await walk.go("/admin/policies/remove?target=everyone", "admin-policy-remove")
    await walk.go("/admin", "admin-overview-policy")


@pytest.mark.parametrize(
    "size,scheme,language",
    [
        pytest.param(DESKTOP, "light", "en-GB", id="desktop-light"),
        pytest.param(DESKTOP, "dark", "en-GB", id="desktop-dark"),
        pytest.param(PHONE, "dark", "en-GB", id="phone-dark"),
        pytest.param(NARROW, "light", "de", id="narrow-german"),
        pytest.param(PHONE, "light", "ar", id="phone-right-to-left"),
        pytest.param(DESKTOP, "light", "ar", id="desktop-right-to-left"),
    ],
)
async def test_the_console_works_and_is_accessible(
    local: House,
    listener: socket.socket,
    size: tuple[int, int],
    scheme: Any,
    language: str,
) -> None:
    async with serving(local, listener), chromium() as browser:
        phone = furnish(local)
        context = await browser.new_context(
            base_url=local.settings.base_url,
            locale=language,
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
        )
        name = f"{scheme}-{size[0]}" + ("" if language == "en-GB" else f"-{language}")
        walk = Walk(local, await context.new_page(), name, has_javascript=True)
        walk.page.on("pageerror", lambda error: walk.seen.append(str(error)))
        walk.page.on(
            "console",
            lambda said: (
                walk.seen.append(said.text)
                if said.type in {"error", "warning"} and "status of 400" not in said.text
                else None
            ),
        )
        await sign_in(walk, phone)
        await look_around(walk)
        await context.close()

    assert not walk.seen, "\n".join(walk.seen)


async def test_everything_goes_by_keyboard_and_without_javascript(
    local: House,
    listener: socket.socket,
) -> None:
    async with serving(local, listener), chromium() as browser:
        phone = furnish(local)
        context = await browser.new_context(
            base_url=local.settings.base_url, locale="en-GB", java_script_enabled=False
        )
        walk = Walk(local, await context.new_page(), "keyboard", has_javascript=False)
        page = walk.page
        await sign_in(walk, phone)

        async def press_on(name: str) -> None:
            """Go on with the tab key until the focus is on *name*, and press it."""
            for _ in range(60):
                await page.keyboard.press("Tab")
                focused = page.locator(":focus")
                if name in (await focused.inner_text()):
                    async with page.expect_navigation():
                        await page.keyboard.press("Enter")
                    return
            raise AssertionError(f"{name} is out of reach on {page.url}")

        await press_on("Accounts")
        await page.keyboard.press("Tab")
        await page.locator("#q").focus()
        await page.keyboard.type("m.od")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        await press_on("m.oduya")
        await press_on("Disable")
        await press_on("Disable")
        noted = await page.locator("#note").inner_text()
        await context.close()

    assert "You can enable it again" in noted
    assert local.account("m.oduya").is_disabled
