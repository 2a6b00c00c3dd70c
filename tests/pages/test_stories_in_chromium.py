"""What people do at the pages, from the first click to the row in the database, in Chromium.

With and without JavaScript, on a phone and on a desktop. Passkeys, policies and their mistakes have
tests of their own (`test_in_chromium`, `test_ways_in_chromium`).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from tests.factors.suite import code_in
from tests.pages.administered import enroll
from tests.pages.chromium import DESKTOP, PHONE, Walk, chromium, serving, walking
from tests.support.house import OPERATOR, PASSWORD, House
from twinlock.flows.factor_administration import Removed
from twinlock.testing.authenticator import FakeAuthenticator
from twinlock.testing.mail import MailTrap

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

JOHN: Final = "johndoe@example.com"
NEW_PASSWORD: Final = "a purple bicycle under water"
WAYS: Final = [
    pytest.param(DESKTOP, True, id="desktop"),
    pytest.param(PHONE, True, id="phone"),
    pytest.param(DESKTOP, False, id="desktop-without-javascript"),
    pytest.param(PHONE, False, id="phone-without-javascript"),
]


async def rows(walk: Walk, sql: str) -> list[Any]:
    """Ask the database; one value of each row."""

    def ask() -> list[Any]:
        return walk.house.database.reading(lambda db: list(db.execute(text(sql)).scalars()))

    return await asyncio.to_thread(ask)


async def alive(walk: Walk) -> int:
    """Count the sessions that have not ended."""
    return len(
        await rows(
            walk,
            "SELECT s.id FROM session s JOIN subject u ON u.id = s.subject_id"
            " WHERE s.ended_at IS NULL AND s.generation = u.generation",
        )
    )


async def link(walk: Walk, to: str = JOHN) -> str:
    trap = MailTrap(lambda: walk.house.auth)
    return urlsplit(await asyncio.to_thread(trap.link, to)).path


async def submit(walk: Walk, **typed: str) -> None:
    """Type into fields by their ids, and press the one filled button."""
    for id_, value in typed.items():
        await walk.page.fill(f"#{id_}", value)
    await walk.press("form button.main")


async def enrolling(walk: Walk) -> tuple[FakeAuthenticator, list[str]]:
    """Sign in with a password, add an app, and show that the recovery codes were saved."""
    await walk.go("/account")
    await submit(walk, username="johndoe", password=PASSWORD)
    assert await rows(walk, "SELECT acr FROM session WHERE ended_at IS NULL") == ["aal1"]
    await walk.press("a[href$='/factors/new']")
    await walk.press("form[action$=totp] button")
    phone = await walk.phone()
    await submit(walk, answer=phone.code(walk.house.now), label="Telefon")
    assert await rows(walk, "SELECT label FROM authenticator") == ["Telefon"]
    codes = await walk.page.locator("#codes li").all_text_contents()
    assert len(await rows(walk, "SELECT digest FROM recovery_code")) == len(codes) == 10
    await walk.press("a.main")
    await submit(walk, answer=codes[3])
    assert urlsplit(walk.page.url).path == "/account"
    assert len(await rows(walk, "SELECT digest FROM recovery_code")) == 10  # a proof spends none
    return phone, codes


async def leaving(walk: Walk) -> None:
    """Sign out."""
    await walk.press("form[action$='/logout'] button")
    assert await alive(walk) == 0


async def coming_back(walk: Walk, phone: FakeAuthenticator, codes: list[str]) -> None:
    """Sign in with the app and be remembered; then with a recovery code, from a strange browser."""
    walk.house.clock.advance(seconds=30)
    await walk.go("/events")
    await walk.page.fill("#username", "johndoe")
    await walk.page.fill("#password", PASSWORD)
    await walk.page.check("[name=trust_device]")
    await walk.press("button.main")
    assert await walk.page.is_checked("[name=trust_device]")  # asked once, carried along
    await submit(walk, answer=phone.code(walk.house.now))
    assert urlsplit(walk.page.url).path == "/events"
    assert len(await rows(walk, "SELECT id FROM trusted_device")) == 1
    assert "aal2" in await rows(walk, "SELECT acr FROM session WHERE ended_at IS NULL")
    await leaving(walk)
    await walk.go("/login")
    await submit(walk, username="johndoe", password=PASSWORD)
    assert urlsplit(walk.page.url).path == "/account"  # the device stands for the second step
    await walk.press("form[action*='/devices/'] button")
    assert await rows(walk, "SELECT id FROM trusted_device") == []
    await leaving(walk)
    await walk.go("/login")
    await submit(walk, username="johndoe", password=PASSWORD)
    await walk.page.locator("summary").click()
    await walk.press("a[href*=recovery_codes]")
    await submit(walk, answer=codes[0].lower())
    assert len(await rows(walk, "SELECT digest FROM recovery_code")) == 9


async def elsewhere(walk: Walk, phone: FakeAuthenticator) -> None:
    """See another session in the list, and end it."""
    walk.house.clock.advance(seconds=30)
    context = await walk.page.context.browser.new_context(  # type: ignore[union-attr]
        base_url=walk.house.settings.base_url
    )
    other = Walk(walk.house, await context.new_page(), "other", has_javascript=True)
    await other.go("/login")
    await submit(other, username="johndoe", password=PASSWORD)
    await submit(other, answer=phone.code(walk.house.now))
    assert await alive(walk) == 2
    await walk.go("/account")
    await walk.press("form[action*='/sessions/'] button")
    assert await alive(walk) == 1
    await other.go("/account")
    assert urlsplit(other.page.url).path == "/login"
    await context.close()


async def proving(walk: Walk, phone: FakeAuthenticator) -> None:
    """Come back after a while, prove it again, and change name, address and password."""
    walk.house.clock.advance(minutes=11)
    await walk.go("/account/password")
    assert urlsplit(walk.page.url).path == "/reauthenticate"
    await submit(walk, answer=phone.code(walk.house.now))
    assert urlsplit(walk.page.url).path == "/account/password"
    assert "reauthentication.succeeded" in await rows(walk, "SELECT type FROM event")
    before = await rows(walk, "SELECT password_hash FROM account")
    await submit(walk, current=PASSWORD, new=NEW_PASSWORD)
    assert await rows(walk, "SELECT password_hash FROM account") != before
    await walk.go("/account/email")
    await submit(walk, email="john@new.example")
    assert await rows(walk, "SELECT email FROM account") == [JOHN]
    await walk.go(await link(walk, "john@new.example"))
    await submit(walk)
    assert await rows(walk, "SELECT email FROM account") == ["john@new.example"]
    assert await alive(walk) == 0


async def forgetting(walk: Walk, phone: FakeAuthenticator) -> None:
    """Forget the password; the mailed link sets another, and the second step stays."""
    await walk.go("/login")
    await walk.press("a[href$='/recovery/password']")
    await submit(walk, username="johndoe")
    path = await link(walk, "john@new.example")
    await walk.go(path)
    before = await rows(walk, "SELECT password_hash FROM account")
    await submit(walk, new="another purple bicycle")
    assert await rows(walk, "SELECT password_hash FROM account") != before
    assert await alive(walk) == 0
    walk.house.clock.advance(seconds=30)
    await walk.go("/login")
    await submit(walk, username="johndoe", password="another purple bicycle")
    assert urlsplit(walk.page.url).path == "/login/totp"
    await submit(walk, answer=phone.code(walk.house.now))
    assert await alive(walk) == 1
    assert (await walk.page.goto(path)).status == 404  # type: ignore[union-attr]


async def speaking(walk: Walk) -> None:
    """Choose a language, for the account and its mails."""
    await walk.go("/account")
    await walk.press("footer a[href*=language]")
    await walk.press("button[value=fr]")
    assert await rows(walk, "SELECT language FROM account") == ["fr"]
    assert 'lang="fr"' in await walk.page.content()


Story = Callable[[Walk], Awaitable[None]]


async def an_account(walk: Walk) -> None:
    """The life of an account with an app."""
    phone, codes = await enrolling(walk)
    await leaving(walk)
    await coming_back(walk, phone, codes)
    await elsewhere(walk, phone)
    await proving(walk, phone)
    await forgetting(walk, phone)
    await speaking(walk)


async def a_mailbox(walk: Walk) -> None:
    """Codes by mail as the second step."""
    trap = MailTrap(lambda: walk.house.auth)
    await walk.go("/factors/new")
    await submit(walk, username="johndoe", password=PASSWORD)
    await walk.press("form[action$=email_code] button")
    await submit(walk, answer=await asyncio.to_thread(code_in, trap, JOHN))
    assert await rows(walk, "SELECT method FROM authenticator") == ["email_code"]
    await walk.go("/account")
    await leaving(walk)
    await walk.go("/login")
    await submit(walk, username="johndoe", password=PASSWORD)
    await walk.press("form[action$=send] button")
    await walk.page.fill("#answer", await asyncio.to_thread(code_in, trap, JOHN))
    await walk.press("form:not([action$=send]) button.main")
    assert urlsplit(walk.page.url).path == "/account"
    assert await alive(walk) == 1


async def a_reset(walk: Walk) -> None:
    """An operator resets the factors; the link and the password set up a new one."""
    await enrolling(walk)
    await leaving(walk)
    work = walk.house.factor_administration
    account = await asyncio.to_thread(walk.house.account)
    done = await asyncio.to_thread(work.reset, account, OPERATOR, now=walk.house.now)
    assert isinstance(done, Removed)
    assert await rows(walk, "SELECT id FROM authenticator") == []
    await walk.go("/login")
    await submit(walk, username="johndoe", password=PASSWORD)
    assert await alive(walk) == 0
    await submit(walk, token=done.link or "")
    await walk.press("form[action$=totp] button")
    await submit(walk, answer=(await walk.phone()).code(walk.house.now))
    assert await rows(walk, "SELECT method FROM authenticator") == ["totp"]


async def a_stranger(walk: Walk) -> None:
    """Register, from the address to the account with both factors."""
    await walk.go("/login")
    await walk.press("a[href$='/registration']")
    await submit(walk, email="jane@example.com")
    assert await rows(walk, "SELECT id FROM account WHERE username = 'jane'") == []
    await walk.go(await link(walk, "jane@example.com"))
    await submit(walk, username="jane", new=PASSWORD)
    await walk.press("form[action$=totp] button")
    await submit(walk, answer=(await walk.phone()).code(walk.house.now))
    sql = "SELECT email FROM account WHERE username = 'jane' AND email_verified_at IS NOT NULL"
    assert await rows(walk, sql) == ["jane@example.com"]
    assert await rows(walk, "SELECT method FROM authenticator") == ["totp"]


async def an_invitation(walk: Walk) -> None:
    """An admin invites somebody, who chooses a password and sets up an app."""
    house, ask = walk.house, walk.page.request.post
    await asyncio.to_thread(house.create, "root", roles=("admin",))
    root = await asyncio.to_thread(enroll, house, "root")
    form = {"grant_type": "password", "username": "root", "password": PASSWORD}
    tokens = await (await ask("/token", form={**form, "otp": root.code(house.now)})).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    body = {"username": "jane", "email": "jane@example.com"}
    assert (await ask("/api/admin/invitations", data=body, headers=headers)).status == 201
    await walk.go(await link(walk, "jane@example.com"))
    sql = "SELECT password_scheme FROM account WHERE username = 'jane'"
    assert await rows(walk, sql) == [None]
    await submit(walk, new=NEW_PASSWORD)
    assert await rows(walk, sql) != [None]
    await walk.press("form[action$=totp] button")
    await submit(walk, answer=(await walk.phone()).code(house.now))
    assert len(await rows(walk, "SELECT method FROM authenticator")) == 2  # the admin's, and this
    assert "invitation.accepted" in await rows(walk, "SELECT type FROM event")


@pytest.mark.parametrize("size,javascript", WAYS)
@pytest.mark.parametrize("story", [an_account, a_mailbox, a_reset, a_stranger, an_invitation])
async def test_a_story_ends_in_the_database(
    local: House,
    listener: socket.socket,
    story: Story,
    size: tuple[int, int],
    *,
    javascript: bool,
) -> None:
    house = local.again(
        email_codes_enabled=True, registration_enabled=True, invitations_enabled=True
    )
    async with serving(house, listener), chromium() as browser:
        house.create()
        async with walking(browser, house, size, javascript=javascript) as walk:
            await story(walk)

    assert not walk.seen, "\n".join(walk.seen)
