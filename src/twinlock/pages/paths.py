"""Where a page may lead: paths of this server, and nothing else."""

from typing import Final
from urllib.parse import quote, urlencode

HOME: Final = "/account"
_MAX_LENGTH: Final = 1024
_SAFE: Final = "/?&=%#:@!$'()*+,;~-._"


def own_path(text: str | None) -> str | None:
    r"""Return *text* if it is a path of this server, as a browser understands it.

    Browsers drop tabs and line breaks from an address and read a backslash as a slash, so
    ``/\evil.example`` and ``//evil.example`` name another site.
    """
    if not text or len(text) > _MAX_LENGTH or not text.startswith("/") or not text.isprintable():
        return None
    if text[1:2] in {"/", "\\"} or "\\" in text:
        return None
    return quote(text, safe=_SAFE)


def with_query(path: str, **fields: str | None) -> str:
    """Return *path* with those fields that are there."""
    there = {name: value for name, value in fields.items() if value}
    return f"{path}?{urlencode(there)}" if there else path
