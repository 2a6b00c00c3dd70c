"""By keyboard alone, with large text, without motion: what axe cannot see, in Chromium."""

import socket
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.pages.administered import enroll
from tests.pages.chromium import DESKTOP, NARROW, PHONE, Walk, chromium, serving, walking
from tests.support.house import PASSWORD, House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

_FOCUSED: Final = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect(), label = one.labels?.[0]?.textContent;
  return {
    name: (one.getAttribute("aria-label") ?? label ?? one.textContent).trim(),
    ring: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
    here: one !== document.body,
  };
}"""
_OVERFLOW: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_TARGETS: Final = """() => [...document.querySelectorAll("a, button, summary, input, select")]
  .filter(one => one.type !== "hidden" && one.checkVisibility() && !one.matches(".skip"))
  .map(one => [one.closest("label") ?? one, one])
  .filter(([target]) => target.getBoundingClientRect().height < 24)
  .map(([, one]) => one.outerHTML.slice(0, 120))"""


class Keys:
    """Somebody who has a keyboard and nothing else."""

    def __init__(self, walk: Walk) -> None:
        self.page = walk.page
        self.order: list[str] = []

    async def focused(self) -> dict[str, Any]:
        """Return what has the focus; it must be seen, with a ring around it."""
        found: dict[str, Any] = await self.page.evaluate(_FOCUSED)
        if found["here"]:
            assert found["ring"] >= 2, f"no ring around {found['name']!r}"
            assert found["seen"], f"{found['name']!r} is out of sight"
        return found

    async def tab_to(self, name: str, *, most: int = 60) -> None:
        """Press Tab until *name* has the focus."""
        for _ in range(most):
            await self.page.keyboard.press("Tab")
            found = await self.focused()
            self.order.append(found["name"])
            if found["here"] and found["name"].startswith(name):
                return
        raise AssertionError(f"{name!r} is not among {self.order}")

    async def enter(self) -> None:
        """Press Enter and wait for the page that follows."""
        async with self.page.expect_navigation():
            await self.page.keyboard.press("Enter")


async def test_a_sign_in_and_the_account_need_no_mouse(
    local: House, listener: socket.socket
) -> None:
    async with (
        serving(local, listener),
        chromium() as browser,
        walking(browser, local, DESKTOP) as walk,
    ):
        local.create()
        phone = enroll(local, "johndoe")
        local.clock.advance(seconds=30)
        await walk.go("/login?next=/events")
        keys, page = Keys(walk), walk.page
        assert (await keys.focused())["name"] == "Username or e-mail"
        await page.keyboard.type("johndoe")
        await keys.tab_to("Password")
        await page.keyboard.type("wrong")
        await keys.enter()
        assert (await keys.focused())["name"] == "Password"  # the first field that is wrong
        await page.keyboard.type(PASSWORD)
        await keys.tab_to("Remember this device")
        await page.keyboard.press("Space")
        await keys.tab_to("Continue")
        await keys.enter()

        assert (await keys.focused())["name"] == "6-digit code"
        assert await page.is_checked("[name=trust_device]")
        await keys.tab_to("Try another way")
        await page.keyboard.press("Enter")
        await keys.tab_to("Recovery code")
        await keys.enter()
        assert (await keys.focused())["name"] == "Recovery code"
        await keys.tab_to("Try another way")
        await page.keyboard.press("Enter")
        await keys.tab_to("Authenticator app")
        await keys.enter()
        assert (await keys.focused())["name"] == "6-digit code"
        await page.keyboard.type(phone.code(local.now))
        await keys.enter()
        assert not await page.locator("#note").count(), await page.text_content("main")
        assert urlsplit(page.url).path == "/events"

        keys.order.clear()
        await keys.tab_to("Skip to the content")
        await keys.tab_to("Security")
        await keys.enter()
        keys.order.clear()
        await keys.tab_to("Language: English")
        assert keys.order[:4] == ["Skip to the content", "Harbour Records", "Security", "Activity"]
        wanted = ("Sign out", "Rename", "Remove", "Add an authenticator", "Make new codes")
        places = [next(i for i, one in enumerate(keys.order) if one.startswith(w)) for w in wanted]
        assert places == sorted(places)  # the order in which one reads
        await keys.tab_to("Skip to the content")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert (await keys.focused())["name"].startswith("Rename")
        await keys.enter()
        await page.keyboard.type(" 2")
        await keys.enter()
        told = await page.evaluate("document.activeElement.id")
        assert told == "note"  # what was done is read out first

    assert not walk.seen, "\n".join(walk.seen)


@pytest.mark.parametrize("size,text", [(DESKTOP, 200), (NARROW, 100), (PHONE, 150)])
async def test_large_text_and_a_small_screen_cut_nothing_off(
    local: House, listener: socket.socket, size: tuple[int, int], text: int
) -> None:
    async with serving(local, listener), chromium() as browser:
        local.create()
        phone = enroll(local, "johndoe")
        local.clock.advance(seconds=30)
        async with walking(browser, local, size) as walk:

            async def look(path: str) -> None:
                await walk.go(path)
                await walk.page.evaluate(f"document.documentElement.style.fontSize = '{text}%'")
                over = await walk.page.evaluate(_OVERFLOW)
                small = await walk.page.evaluate(_TARGETS)
                assert over <= 0, (path, over)
                assert not small, (path, small)

            for path in ("/login", "/login/help", "/recovery/password", "/language", "/logout"):
                await look(path)
            await walk.go("/login")
            await walk.sign_in()
            await look("/login/totp")
            await look("/login/recovery_codes")
            await walk.go("/login/totp")
            await walk.page.fill("#answer", phone.code(local.now))
            await walk.press("button.main")
            for path in ("/account", "/events", "/account/password", "/not-me", "/factors/new"):
                await look(path)


@pytest.mark.parametrize("motion,lasts", [("no-preference", "0.26s"), ("reduce", "0s")])
async def test_the_one_movement_is_left_out_for_whom_it_troubles(
    local: House, listener: socket.socket, motion: Any, lasts: str
) -> None:
    async with (
        serving(local, listener),
        chromium() as browser,
        walking(browser, local, PHONE) as walk,
    ):
        local.create()
        enroll(local, "johndoe")
        await walk.page.emulate_media(reduced_motion=motion)
        await walk.go("/login")
        await walk.sign_in()

        half = "getComputedStyle(document.querySelector('.joined .two'))"
        assert await walk.page.evaluate(f"{half}.animationDuration") == lasts
        button = "getComputedStyle(document.querySelector('.btn'))"
        changed = await walk.page.evaluate(f"{button}.transitionDuration")
        assert changed == ("0s" if motion == "reduce" else "0.12s")


@pytest.mark.parametrize(
    "locale,today,yesterday",
    [
        ("en-GB", "today, ", "yesterday, "),
        ("de", "heute, ", "gestern, "),
        ("ja", "今日 ", "昨日 "),
        ("ar", "اليوم", "أمس"),
    ],
)
async def test_times_are_told_as_people_tell_them(
    local: House, listener: socket.socket, locale: str, today: str, yesterday: str
) -> None:
    async with (
        serving(local, listener),
        chromium() as browser,
        walking(browser, local, PHONE, locale=locale) as walk,
    ):
        local.create()
        await walk.go("/login")
        await walk.sign_in()
        for days, said in ((0, today), (1, yesterday), (2, None)):
            seen = datetime(2026, 3, 2 + days, 20, 0, tzinfo=UTC)
            await walk.page.clock.set_fixed_time(seen)
            await walk.go("/account")
            first = walk.page.locator("time").first
            text = await first.text_content() or ""
            assert text.startswith(said) if said else today not in text
            assert "UTC" in (await first.get_attribute("title") or "")
            moment = await first.get_attribute("datetime") or ""
            assert moment.startswith("2026-03-02T")
