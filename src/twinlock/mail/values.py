"""What people called themselves and their things, as mails may show it: no link, no second line.

Mail programs turn whatever looks like an address into a link, in text as in HTML. Who registers a
stranger's mailbox under a name of their choice, or names an authenticator, must not lead anybody
anywhere with it.
"""

import re
import unicodedata
from typing import Final

LONGEST: Final = 64
_FROM_PEOPLE: Final = frozenset({"username", "label"})
_BREAKS_LINKS: Final = "\u200c"
"""ZERO WIDTH NON-JOINER: shows nothing, and no program takes what holds it for an address."""
_LINKING: Final = re.compile(r"(?<=\w)([.@\u3002\uff0e\uff61](?=\w)|:(?=//))")
_SPACES: Final = re.compile(r"\s+")
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


def shown(name: str, value: str) -> str:
    """Return the value of a letter's *name* as it may stand in a text of ours."""
    return harmless(value) if name in _FROM_PEOPLE else value


def harmless(text: str) -> str:
    """Return *text* in one short line that leads nowhere and keeps its neighbours in order.

    What is invisible is left out, controls and bidirectional marks included; letters that are
    written from the right stand apart from what follows them.
    """
    seen = "".join(" " if c.isspace() else c for c in text)
    seen = "".join(c for c in seen if unicodedata.category(c)[0] != "C")
    line = _SPACES.sub(" ", seen).strip()
    if len(line) > LONGEST:
        line = f"{line[: LONGEST - 1]}…"
    line = _LINKING.sub(rf"\1{_BREAKS_LINKS}", line)
    if any(unicodedata.bidirectional(c) in {"R", "AL"} for c in line):
        return f"{_ISOLATE}{line}{_END_OF_ISOLATE}"
    return line
