"""What a browser is called: readable, and never a place."""

from dataclasses import dataclass
from typing import Final

from twinlock.pages.texts import mark

_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
)
_SYSTEMS: Final = (
    ("iPhone", mark("%(browser)s on an iPhone"), True),
    ("iPad", mark("%(browser)s on an iPad"), True),
    ("Android", mark("%(browser)s on an Android device"), True),
    ("CrOS", mark("%(browser)s on a Chromebook"), False),
    ("Windows", mark("%(browser)s on Windows"), False),
    ("Macintosh", mark("%(browser)s on a Mac"), False),
    ("Linux", mark("%(browser)s on Linux"), False),
)
_UNKNOWN: Final = mark("An unknown browser")


@dataclass(frozen=True, slots=True)
class Device:
    """A browser and what it runs on.

    Attributes:
        words: To be translated, then filled with the browser's name.
    """

    words: str
    browser: str
    is_phone: bool


def device_of(user_agent: str | None) -> Device:
    """Return what a ``User-Agent`` says; it may say anything."""
    text = user_agent or ""
    browser = next((name for sign, name in _BROWSERS if sign in text), "")
    for sign, words, is_phone in _SYSTEMS:
        if browser and sign in text:
            return Device(words, browser, is_phone)
    return Device(_UNKNOWN, browser, is_phone=False)
