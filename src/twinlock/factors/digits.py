"""Codes of digits as people type them."""

import unicodedata
from typing import Final

MIN_DIGITS: Final = 6
"""RFC 4226 section 4, R4: fewer digits could be guessed."""
MAX_DIGITS: Final = 8

_MAX_TYPED_LENGTH: Final = 64
_IGNORED_CHARACTERS: Final = frozenset("\t\n\r−.·\uff0e。｡")
_IGNORED_CATEGORIES: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Cf"})
"""Spaces and dashes of every script, and what cannot be seen: marks that copying brings along."""


def normalise(code: str) -> str | None:
    """Return the six to eight ASCII digits that a person meant, or None if it was no code.

    Decimal digits of any script count; spaces, dashes, dots and invisible marks do not.
    Done once, at the door: everything behind compares ASCII.
    """
    if len(code) > _MAX_TYPED_LENGTH:
        return None
    digits = ""
    for character in code:
        value = unicodedata.decimal(character, None)
        if value is not None:
            digits += str(value)
        elif not _is_ignored(character):
            return None
    return digits if MIN_DIGITS <= len(digits) <= MAX_DIGITS else None


def _is_ignored(character: str) -> bool:
    return (
        character in _IGNORED_CHARACTERS or unicodedata.category(character) in _IGNORED_CATEGORIES
    )
