"""Goal P9 in Chromium: 20 KB over the wire, one round of requests, nothing from elsewhere, still.

In every state of the sign-in page: fresh, denied, from right to left, throttled, too old.
"""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.pages.chromium import DESKTOP, PHONE, Walk, chromium, serving, walking
from tests.support.house import PASSWORD, House

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MOST_BYTES: Final = 20_000
_SHIFTS: Final = """globalThis.shifts = [];
new PerformanceObserver(list => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) shifts.push(one.value);
}).observe({type: "layout-shift", buffered: true});"""
_SETTLED: Final = """new Promise(done => requestIdleCallback(
  () => requestAnimationFrame(() => requestAnimationFrame(() => done(shifts)))))"""


@dataclass
class Wire:
    """What one page fetched."""

    bytes: int = 0
    urls: list[str] = field(default_factory=list)
    rounds: list[str] = field(default_factory=list)

    def asked(self, event: dict[str, Any]) -> None:
        """Note a request; what a script or a style sheet asks for would be a second round."""
        url = event["request"]["url"]
        if url.startswith("data:"):
            return
        self.urls.append(url)
        if event["initiator"]["type"] not in {"other", "parser"} or (
            event["initiator"].get("url", "").rpartition(".")[2] in {"js", "css"}
        ):
            self.rounds.append(url)

    def finished(self, event: dict[str, Any]) -> None:
        """Count what came, headers included."""
        self.bytes += int(event["encodedDataLength"])


async def sent(walk: Walk, **typed: str) -> None:
    for id_, text in typed.items():
        await walk.page.fill(f"#{id_}", text)
    await walk.press("button.main")


async def denied(walk: Walk) -> None:
    await sent(walk, username="johndoe", password="wrong")


async def throttled(walk: Walk) -> None:
    for _ in range(11):
        await denied(walk)


async def too_old(walk: Walk) -> None:
    await walk.page.evaluate("document.querySelector('[name=csrf]').value = 'x'")
    await sent(walk, username="johndoe", password=PASSWORD)


async def fresh(walk: Walk) -> None:
    await walk.go("/login?next=/events")


@pytest.mark.parametrize("size,locale", [(DESKTOP, "en-GB"), (PHONE, "ar"), (PHONE, "de")])
@pytest.mark.parametrize("reach", [fresh, denied, throttled, too_old])
async def test_the_sign_in_page_is_light_in_every_state(
    local: House,
    listener: socket.socket,
    reach: Callable[[Walk], Awaitable[None]],
    size: tuple[int, int],
    locale: str,
) -> None:
    house = local.again(registration_enabled=True)
    async with (
        serving(house, listener),
        chromium() as browser,
        walking(browser, house, size, locale=locale) as walk,
    ):
        house.create()
        await walk.page.add_init_script(_SHIFTS)
        await walk.go("/login")
        cdp = await walk.page.context.new_cdp_session(walk.page)
        await cdp.send("Network.enable")
        await cdp.send("Network.setCacheDisabled", {"cacheDisabled": True})
        wire = Wire()

        def begin(event: dict[str, Any]) -> None:
            if event["type"] == "Document":  # count the last page alone
                wire.bytes, wire.urls, wire.rounds = 0, [], []
            wire.asked(event)

        cdp.on("Network.requestWillBeSent", begin)
        cdp.on("Network.loadingFinished", wire.finished)
        await reach(walk)
        await walk.page.wait_for_load_state("networkidle")
        shifts = await walk.page.evaluate(_SETTLED)

    assert 5_000 < wire.bytes <= MOST_BYTES, (wire.bytes, wire.urls)
    assert len(wire.urls) > 3
    assert {urlsplit(url).netloc for url in wire.urls} == {urlsplit(house.settings.base_url).netloc}
    assert not wire.rounds
    assert shifts == []
    assert not walk.seen, "\n".join(walk.seen)
