"""What an admin does on the console, from the first click to the row, in Chromium; and by keyboard.

With JavaScript on a desktop and without it on a phone, one admin goes through everything that can
be done. The last walk touches neither mouse nor pointer.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.pages.administered import enroll
from tests.pages.chromium import DESKTOP, PHONE, Walk, chromium, serving, walking
from tests.pages.test_console_in_chromium import refuse_a_mail, sign_in
from tests.pages.test_stories_in_chromium import rows, submit
from tests.support.house import PASSWORD, House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ALICE: Final = " FROM account WHERE username = 'alice'"
DOCUMENT: Final = "SELECT document FROM policy"


def token(house: House, name: str, otp: str) -> dict[str, str]:
    """Sign in at the API, somewhere else."""
    form = {"grant_type": "password", "username": name, "password": PASSWORD, "otp": otp}
    answer = house.client().post("/token", data=form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def furnish(house: House) -> Any:
    """Let people move in: an admin, another one who asks for a reset, and Alice."""
    for name in ("root", "second", "third"):
        house.create(name, roles=("admin",), full_name=name.title())
    house.create("alice", full_name="Alice Archer", roles=("editor",))
    house.create("m.oduya")
    phone, hers = enroll(house, "root"), enroll(house, "alice")
    for _ in range(2):
        token(house, "alice", hers.code(house.now))
        house.clock.advance(seconds=30)
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD, "otp": "000000"}
    assert house.client().post("/token", data=form).status_code == 400
    headers = token(house, "second", enroll(house, "second").code(house.now))
    path = f"/api/admin/users/{house.account('third').subject}/factor_reset"
    assert house.client().post(path, headers=headers).status_code == 202
    refuse_a_mail(house)
    return phone


async def in_row(walk: Walk, sql: str, expected: Any) -> None:
    """Hold the first value that *sql* finds against what is *expected*."""
    found = await rows(walk, sql)
    assert (found[0] if found else None) == expected, sql


async def act(walk: Walk, action: str, *, who: str = "alice", **typed: str) -> None:
    """Open the account, press what an action is called there, say why, and press the button."""
    subject = (await asyncio.to_thread(walk.house.account, who)).subject
    await walk.go(f"/admin/accounts/{subject}")
    await walk.press(f"a[href$='/{action}']")
    for id_, value in {**typed, "why": f"Asked to {action}"}.items():
        await walk.page.fill(f"#{id_}", value)
    await walk.press(f"form[action$='/{action}'] button")
    assert await walk.page.locator(".note.good").count() == 1, await walk.page.content()
    newest = "SELECT details FROM event WHERE actor LIKE 'admin:%' ORDER BY id DESC LIMIT 1"
    [details] = await rows(walk, newest)
    details = json.loads(details) if isinstance(details, str) else details
    assert details["note"] == f"Asked to {action}"


async def profile(walk: Walk) -> None:
    """Change name, roles and address; call the address off."""
    await act(walk, "name", full_name="Alice Baker")
    await in_row(walk, f"SELECT full_name{ALICE}", "Alice Baker")
    await act(walk, "email", email="alice@new.example")
    await in_row(walk, "SELECT email FROM staged_email", "alice@new.example")
    await in_row(walk, f"SELECT email{ALICE}", "alice@example.com")
    await act(walk, "cancel_email")
    await in_row(walk, "SELECT email FROM staged_email", None)


async def sessions(walk: Walk) -> None:
    """End one session, and then all there are."""
    alice = (await asyncio.to_thread(walk.house.account, "alice")).subject
    alive = (
        "SELECT count(*) FROM session s JOIN subject u ON u.id = s.subject_id"
        f" WHERE u.id = '{alice}' AND s.ended_at IS NULL AND s.generation = u.generation"
    )
    await in_row(walk, alive, 2)
    await walk.go(f"/admin/accounts/{alice}")
    await walk.press("form[action*='/sessions/'] button")
    await in_row(walk, alive, 1)
    await act(walk, "end_sessions")
    await in_row(walk, alive, 0)


async def second_factors(walk: Walk) -> None:
    """Unlock; ask for a reset and call it off; be the second admin of another's."""
    tries = "SELECT in_a_row FROM throttle WHERE in_a_row > 0"
    assert await rows(walk, tries)
    await act(walk, "unlock")
    assert not await rows(walk, tries)
    alice = (await asyncio.to_thread(walk.house.account, "alice")).subject
    of_alice = f"SELECT subject_id FROM factor_reset WHERE subject_id = '{alice}'"
    await act(walk, "reset")
    await in_row(walk, of_alice, alice)
    await act(walk, "cancel_reset")
    await in_row(walk, of_alice, None)
    await in_row(walk, "SELECT approved_by FROM factor_reset", None)
    await act(walk, "approve_reset", who="third")
    root = (await asyncio.to_thread(walk.house.account, "root")).subject
    await in_row(walk, "SELECT approved_by FROM factor_reset", root)


async def whole_account(walk: Walk) -> None:
    """Give other roles, disable, enable, and delete."""
    await act(walk, "roles", roles="editor translator")
    await in_row(walk, f"SELECT roles{ALICE}", "editor translator")
    disabled = f"SELECT count(*){ALICE} AND disabled_at IS NOT NULL"
    await act(walk, "disable")
    await in_row(walk, disabled, 1)
    await act(walk, "enable")
    await in_row(walk, disabled, 0)
    await act(walk, "delete", username="alice")
    await in_row(walk, f"SELECT count(*){ALICE}", 0)
    assert urlsplit(walk.page.url).path == "/admin/accounts"


async def invitations(walk: Walk) -> None:
    """Invite somebody, and revoke it."""
    await walk.go("/admin/accounts")
    await walk.press("a[href$='/invitations/new']")
    await submit(walk, email="kofi@example.com", username="kofi", full_name="Kofi Asante")
    await in_row(walk, "SELECT email FROM account WHERE username = 'kofi'", "kofi@example.com")
    kofi = (await asyncio.to_thread(walk.house.account, "kofi")).subject
    links = f"SELECT count(*) FROM pending WHERE subject_id = '{kofi}'"
    await in_row(walk, links, 1)
    await walk.press("a[href$='/revoke']")
    await walk.press("form[action$='/revoke'] button")
    await in_row(walk, links, 0)


async def installation(walk: Walk) -> None:
    """Set a policy that mails nobody and remove it; rotate and retire a key; try a mail again."""
    await walk.go("/admin/policies")
    await walk.press("a[href$='/policies/set']")
    await walk.page.uncheck("[name=reminds]")
    await walk.press("[value=look]")
    assert await rows(walk, DOCUMENT) in ([], ["[]"])
    await walk.press("[value=save]")
    [document] = await rows(walk, DOCUMENT)
    assert [one["reminds"] for one in json.loads(document)] == [False]
    await walk.press("a[href*='/policies/remove']")
    await walk.press("form[action$='/remove'] button")
    assert await rows(walk, DOCUMENT) == ["[]"]
    [signs] = await rows(walk, "SELECT id FROM signing_key WHERE signed_until IS NULL")
    await walk.go("/admin/keys")
    await walk.press("a[href$='/rotate']")
    await walk.press("form[action$='/rotate'] button")
    assert await rows(walk, "SELECT id FROM signing_key WHERE signed_until IS NULL") != [signs]
    await walk.press("a[href$='/retire']")
    await walk.press("form[action$='/retire'] button")
    assert await rows(walk, "SELECT id FROM signing_key WHERE retired_at IS NOT NULL") == [signs]
    given_up = "SELECT count(*) FROM outbox WHERE given_up_at IS NOT NULL"
    await in_row(walk, given_up, 1)
    await walk.go("/admin/mail?state=given_up")
    await walk.press("form[action$='/again'] button")
    await in_row(walk, given_up, 0)


@pytest.mark.parametrize(
    "size,javascript",
    [
        pytest.param(DESKTOP, True, id="desktop"),
        pytest.param(PHONE, False, id="phone-without-javascript"),
    ],
)
async def test_what_an_admin_does_ends_in_the_database(
    local: House, listener: socket.socket, size: tuple[int, int], *, javascript: bool
) -> None:
    async with serving(local, listener), chromium() as browser:
        phone = await asyncio.to_thread(furnish, local)
        async with walking(browser, local, size, javascript=javascript) as walk:
            await sign_in(walk, phone)
            for part in (profile, sessions, second_factors, whole_account, invitations):
                await part(walk)
            await installation(walk)

    assert not walk.seen, "\n".join(walk.seen)


class Keys:
    """A keyboard, and what has the focus."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.page = walk.page

    async def to(self, selector: str) -> None:
        """Press Tab until it has the focus, which is seen at each stop on the way."""
        for _ in range(120):
            await self.page.keyboard.press("Tab")
            found = await self.page.evaluate(
                """wanted => { const one = document.activeElement;
                const box = one.getBoundingClientRect(), style = getComputedStyle(one);
                return {is: one.matches(wanted), tag: one.tagName,
                  ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                  seen: box.bottom > 0 && box.top < innerHeight && box.width > 0}; }""",
                selector,
            )
            if found["tag"] != "BODY":
                assert found["ring"], (self.page.url, found)
                assert found["seen"], (self.page.url, found)
            if found["is"]:
                return
        raise AssertionError(f"{selector} is out of reach on {self.page.url}")

    async def press(self, *keys: str) -> None:
        """Press keys that lead nowhere else."""
        for key in keys:
            await self.page.keyboard.press(key)

    async def leave(self, selector: str, key: str = "Enter") -> None:
        """Go there and press a key that leads to another page."""
        await self.to(selector)
        async with self.page.expect_navigation():
            await self.page.keyboard.press(key)

    async def type(self, selector: str, text: str) -> None:
        """Go there and type over what stands there."""
        await self.to(selector)
        await self.press("Control+A")
        await self.page.keyboard.type(text)


async def by_keys_at_accounts(keys: Keys) -> None:
    """Find an account by words and a list to choose from, read it, and change its roles."""
    await keys.leave("nav a[href$='/admin/accounts']")
    await keys.type("#q", "alice")
    await keys.to("#factor")
    await keys.press("ArrowDown", "ArrowDown")
    assert await keys.page.input_value("#factor") == "totp"
    await keys.leave("button.main")
    await keys.leave("th a")
    await keys.leave("a[href$='/roles']")
    assert await keys.page.evaluate("document.activeElement.id") == "roles"
    await keys.press("End")
    await keys.page.keyboard.type(" translator")
    await keys.leave("button.main")
    await in_row(keys.walk, f"SELECT roles{ALICE}", "editor translator")
    await keys.leave("a[href$='/disable']")
    await keys.leave("button.stop", "Space")
    await in_row(keys.walk, f"SELECT count(*){ALICE} AND disabled_at IS NOT NULL", 1)


async def by_keys_at_policies(keys: Keys) -> None:
    """Set a policy for a role with arrows, the space bar and letters."""
    await keys.leave("nav a[href$='/admin/policies']")
    await keys.leave("a[href$='/policies/set']")
    await keys.to("[name=kind]")
    await keys.press("ArrowDown")
    assert await keys.page.is_checked("[name=kind][value=role]")
    await keys.type("#role", "editor")
    await keys.to("[name=method_passkey]")
    await keys.press("Space")
    assert not await keys.page.is_checked("[name=method_passkey]")
    await keys.leave("[value=look]")
    await keys.leave("[value=save]")
    [document] = await rows(keys.walk, DOCUMENT)
    [one] = json.loads(document)
    assert (one["name"], one["methods"]) == ("editor", ["totp"])


async def by_keys_at_events(keys: Keys) -> None:
    """Open the fields of an event; leave the table of the overview open."""
    await keys.leave("nav a[href$='/admin/events']")
    await keys.type("#user", "alice")
    await keys.leave("button.show")
    await keys.to("summary")
    await keys.press("Enter")
    assert await keys.page.locator("details[open]").count() == 1
    await keys.leave("nav a[href$='/admin/keys']")
    await keys.leave("a[href$='/rotate']")
    await keys.leave("button.main")
    assert len(await rows(keys.walk, "SELECT id FROM signing_key")) == 2
    await keys.leave("nav a[href$='/admin/mail']")
    await keys.leave("a[href$='given_up']")
    await keys.leave("form[action$='/again'] button")
    await keys.leave("nav a[href$='/admin']")
    await keys.to("summary")
    await keys.press("Space")
    assert await keys.page.locator("details[open]").count() == 1


async def test_an_admin_needs_a_keyboard_alone(local: House, listener: socket.socket) -> None:
    async with serving(local, listener), chromium() as browser:
        phone = await asyncio.to_thread(furnish, local)
        async with walking(browser, local, DESKTOP) as walk:
            keys = Keys(walk)
            await walk.go("/admin")
            await keys.page.keyboard.type("root")
            await keys.type("#password", PASSWORD)
            async with walk.page.expect_navigation():
                await keys.press("Enter")
            await keys.page.keyboard.type(phone.code(local.now))
            async with walk.page.expect_navigation():
                await keys.press("Enter")
            assert urlsplit(walk.page.url).path == "/admin"
            parts: list[Callable[[Keys], Any]] = [
                by_keys_at_accounts,
                by_keys_at_policies,
                by_keys_at_events,
            ]
            for part in parts:
                await part(keys)
            await keys.leave("form[action$='/logout'] button")

    assert not walk.seen, "\n".join(walk.seen)
