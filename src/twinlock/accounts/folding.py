"""Text made comparable: names that a person takes for the same become one and the same string.

Python computes the key, never the database: SQLite's ``lower()`` knows ASCII only, PostgreSQL's
depends on its locale. A key stays what it is when Python brings a newer Unicode, because the
stability policy freezes the normal forms and case folding of every assigned character, and names
with unassigned ones are refused (``names.py``).
"""

import re
import unicodedata

# Default_Ignorable_Code_Point of the Unicode character database: drawn as nothing at all. Some are
# letters or marks by category (the Hangul fillers, variation selectors), so the category "Cf" alone
# does not find them.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# A dot above these changes nothing that can be seen: they have one (Latin and Cyrillic i and j).
# What may stand between in canonical order are marks below the letter.
_REDUNDANT_DOT = re.compile("([ij\u0456\u0458][\u0316-\u0333]*)\u0307")

_DOTLESS = {"\u0131": "i", "\u0237": "j"}

# Three rounds were enough for every code point and every pair tried; the bound only makes sure
# that no input can keep the loop alive.
_MOST_ROUNDS = 8


def fold(text: str) -> str:
    """Return *text* without differences of case, width, form, and invisible characters.

    NFKC and case folding repeated to a fixed point (Unicode Standard, definition D147: toNFKC_
    Casefold), plus two habits of keyboards: any script's decimal digits become ASCII digits, and
    a dot above an i is always there. Defined for any text, lone surrogates included, and
    ``fold(fold(text)) == fold(text)``.
    """
    if text.isascii():
        return text.lower()
    for _ in range(_MOST_ROUNDS):
        folded = _folded_once(text)
        if folded == text:
            break
        text = folded
    return text


def is_invisible(character: str) -> bool:
    """Tell whether *character* shows nothing, changes its neighbours, or has no agreed meaning.

    Controls, format and bidirectional characters, surrogates, private use, unassigned, and what
    renderers ignore.
    """
    return unicodedata.category(character)[0] == "C" or _IGNORABLE.match(character) is not None


def _folded_once(text: str) -> str:
    text = "".join(_plain(character) for character in unicodedata.normalize("NFKC", text))
    text = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", _REDUNDANT_DOT.sub(r"\1", text))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) == "Cf" or _IGNORABLE.match(character):
        return ""
    digit = unicodedata.decimal(character, None)
    return str(digit) if digit is not None else _DOTLESS.get(character, character)
