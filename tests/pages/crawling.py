"""What a crawl of pages looks for: texts that nobody translates, and links that lead nowhere."""

import re
from collections.abc import Iterator
from gettext import NullTranslations
from html.parser import HTMLParser
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.support.house import House
from twinlock.core.languages import LANGUAGES

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_NOT_WORDS: Final = frozenset({"script", "style", "code", "bdi", "time", "svg", "noscript"})
_ROLES_AND_MONTHS: Final = "admin Feb Mar"


class Marking(NullTranslations):
    """Puts every text that could be translated between brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


class _Words(HTMLParser):
    """What people read on a page, without what is theirs: names, addresses, times, keys."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.words += [
            given[name] or ""
            for name in ("aria-label", "alt", "data-busy", "title")
            if name in given and tag != "time"
        ]
        if tag not in {"meta", "link", "input", "br", "img"}:
            self._open.append("bdi" if "mono" in (given.get("class") or "") else tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not _NOT_WORDS & set(self._open):
            self.words.append(data)


def untranslated(html: str, own_words: frozenset[str]) -> list[str]:
    """Return the texts of a page that was made with `Marking` which nobody translates."""
    reader = _Words()
    reader.feed(html)
    found, depth = [], 0
    for part in reader.words:  # a name or a day inside a text parts it in several
        plain = ""
        for sign in part:
            depth += (sign == "⟦") - (sign == "⟧")
            plain += "" if depth or sign == "⟧" else sign
        if set(_WORD.findall(plain)) - own_words:
            found.append(part.strip()[:80])
    return found if depth == 0 else [*found, "a text that does not end"]


def own_words(house: House, *names: str) -> frozenset[str]:
    """Return the words that are names and not texts."""
    theirs = [house.settings.service_name, *names, _ROLES_AND_MONTHS, *LANGUAGES.values()]
    return frozenset(_WORD.findall(" ".join(theirs)))


def page_routes(app: FastAPI) -> Iterator[str]:
    """Give the paths of pages that need nothing filled in."""

    def below(routes: list[Any]) -> Iterator[APIRoute]:
        for route in routes:
            if isinstance(route, APIRoute):
                yield route
            elif hasattr(route, "routes"):
                yield from below(route.routes)
            elif hasattr(route, "original_router"):
                yield from below(route.original_router.routes)

    for route in below(app.routes):
        is_page = not route.include_in_schema and "GET" in (route.methods or ())
        if is_page and "{" not in route.path:
            yield route.path
