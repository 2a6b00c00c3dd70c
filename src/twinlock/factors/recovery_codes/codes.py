"""Recovery codes as text: how they are made, written for people, and read back."""

import unicodedata
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O and U."""
CODE_BYTES: Final = 15
"""120 random bits: above 112, so that no slow hash is needed to store them (ASVS 5.0 6.5.2)."""
CODE_LENGTH: Final = CODE_BYTES * 8 // 5
GROUP_LENGTH: Final = 4

_MAX_TYPED_LENGTH: Final = 128
_IGNORED_CATEGORIES: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Cf"})
"""Spaces and dashes of every script, and what cannot be seen: marks that copying brings along."""
_READ_AS: Final = {character: character for character in ALPHABET} | {
    "O": "0",
    "I": "1",
    "L": "1",
}
_FULL_WIDTH: Final = range(0xFF01, 0xFF5F)
_FULL_WIDTH_OFFSET: Final = 0xFF01 - 0x21


def new_code(random: bytes) -> str:
    """Return the code that 15 random bytes spell, in the form that is digested.

    Raises:
        ValueError: There were more or fewer bytes.
    """
    if len(random) != CODE_BYTES:
        raise ValueError(f"a recovery code takes {CODE_BYTES} random bytes, not {len(random)}")
    number = int.from_bytes(random, "big")
    shifts = range((CODE_LENGTH - 1) * 5, -1, -5)
    return "".join(ALPHABET[number >> shift & 31] for shift in shifts)


def format_code(code: str) -> str:
    """Return a code in groups of four, as people copy it."""
    starts = range(0, len(code), GROUP_LENGTH)
    return "-".join(code[start : start + GROUP_LENGTH] for start in starts)


def normalise(text: str) -> str | None:
    """Return the code that a person meant, in the form that is digested, or None if it was none.

    Case, spaces, dashes and full width are forgiven, O is read as 0, I and L as 1.
    """
    if len(text) > _MAX_TYPED_LENGTH:
        return None
    code = ""
    for character in text:
        read = _READ_AS.get(_ascii_capital(character))
        if read is not None:
            code += read
        elif not _is_ignored(character):
            return None
    return code if len(code) == CODE_LENGTH else None


def _ascii_capital(character: str) -> str:
    point = ord(character)
    narrow = chr(point - _FULL_WIDTH_OFFSET) if point in _FULL_WIDTH else character
    return narrow.upper() if narrow.isascii() else narrow


def _is_ignored(character: str) -> bool:
    return character in "\t\n\r−" or unicodedata.category(character) in _IGNORED_CATEGORIES
