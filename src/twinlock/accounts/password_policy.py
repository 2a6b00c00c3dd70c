"""Which new passwords are refused: too short, too long, common, guessable, or no text.

The rules of SP 800-63B-4 section 3.1.1.2 and ASVS 5.0 6.2: length and a blocklist, nothing about
kinds of characters. The *whole* password is compared, never words inside it: a long passphrase
may contain anything. Compared are the password and the person's own words in a plain form, without
case, accents, width and invisible characters; the password itself is never changed.

Whether a password was seen in a breach is another question, asked of a service elsewhere: whoever
asks it (`breached_passwords`) does so beside ``check_new_password``.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from twinlock.accounts.folding import fold
from twinlock.accounts.passwords import MAX_PASSWORD_LENGTH

MIN_LENGTH: Final = 8  # characters; fit where a second factor is demanded
RECOMMENDED_LENGTH: Final = 15  # characters; for a password that stands alone (SP 800-63B-4)

COMMON_PASSWORDS: Final = Path(__file__).with_name("common_passwords.txt.gz")

# What is typed beside a word to satisfy a rule, and is found by the first programs that guess.
_MAX_SIGNS_BESIDE = 7
_MIN_WORD = 3
_LOOK_ALIKES = {
    "a": "a4@", "b": "b8", "e": "e3€", "g": "g69", "i": "i1!|", "l": "l1!|", "o": "o0",
    "s": "s5$", "t": "t7+", "z": "z2",
}  # fmt: skip
_NO_WORD = re.compile(r"[\W_]+")

# Runs of neighbours that fingers and counting make, on the layouts that have their own rows.
_SEQUENCES = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890-=",
    "!@#$%^&*()_+",
    "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./",
    "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
)  # fmt: skip
_NEIGHBOURS = frozenset(
    pair
    for sequence in _SEQUENCES
    for direction in (sequence, sequence[::-1])
    for pair in pairwise(direction)
)
_TRIVIAL_RUN = 4  # characters that each run adds on average before the whole is trivial
_TRIVIAL_PERIOD = 4  # characters
_BEYOND_PATTERNS = 64  # characters; every length from here on is nobody's first guess


class PasswordProblem(StrEnum):
    """Why a new password is refused; the value is a stable code, ``sentence`` is for people."""

    TOO_SHORT = "password_too_short"
    TOO_LONG = "password_too_long"
    COMMON = "password_common"
    PATTERN = "password_pattern"
    CONTEXT_WORD = "password_context_word"
    CONTAINS_NUL = "password_contains_nul"
    NOT_TEXT = "password_not_text"
    BREACHED = "password_breached"

    @property
    def sentence(self) -> str:
        """Return what to tell the person."""
        return _SENTENCES[self]


_SENTENCES = {
    PasswordProblem.TOO_SHORT: "The password is too short.",
    PasswordProblem.TOO_LONG: "The password is too long.",
    PasswordProblem.COMMON: "This is one of the most common passwords. Choose another.",
    PasswordProblem.PATTERN: "The password is a simple pattern that is easy to guess.",
    PasswordProblem.CONTEXT_WORD: (
        "The password is too close to your name, your e-mail address or the name of this service."
    ),
    PasswordProblem.CONTAINS_NUL: "The password contains a character that cannot be stored.",
    PasswordProblem.NOT_TEXT: "The password is not valid text.",
    PasswordProblem.BREACHED: "This password was seen in a data breach. Choose another.",
}


def check_new_password(
    password: str,
    *,
    username: str,
    email: str | None,
    full_name: str | None,
    service_name: str,
    min_length: int = MIN_LENGTH,
    max_length: int = MAX_PASSWORD_LENGTH,
) -> PasswordProblem | None:
    """Return why *password* may not become the password of this account, or None.

    Args:
        password: As received.
        username: The account's, with *email*, *full_name* and *service_name* a source of the
            words that the password must not consist of.
        email: Address, or None.
        full_name: As entered, or None.
        service_name: What the installation calls itself.
        min_length: In characters (code points, SP 800-63B-4 section 3.1.1.2).
        max_length: In characters; not above ``MAX_PASSWORD_LENGTH``.
    """
    if len(password) < min_length:
        return PasswordProblem.TOO_SHORT
    if len(password) > min(max_length, MAX_PASSWORD_LENGTH):
        return PasswordProblem.TOO_LONG
    if "\0" in password:
        return PasswordProblem.CONTAINS_NUL
    if any(unicodedata.category(character) == "Cs" for character in password):
        return PasswordProblem.NOT_TEXT
    plain = plain_form(password)
    if is_common(plain):
        return PasswordProblem.COMMON
    if _is_pattern(plain):
        return PasswordProblem.PATTERN
    if _consists_of(plain, _context_words(username, email, full_name, service_name)):
        return PasswordProblem.CONTEXT_WORD
    return None


def plain_form(text: str) -> str:
    """Return *text* without case, accents, width and invisible characters, for comparing."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", fold(text))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def is_common(plain: str) -> bool:
    """Tell whether a password in its plain form is on the list that ships with the package."""
    try:
        line = plain.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return b"\n" not in line and b"\n%b\n" % line in _common_passwords()


@cache
def _common_passwords() -> bytes:
    """Return the list as one text, each entry between line feeds.

    Searching it takes a fraction of what hashing the password will; a set of its entries would
    take ten times the memory.
    """
    return zlib.decompress(COMMON_PASSWORDS.read_bytes(), wbits=zlib.MAX_WBITS | 16)


def _is_pattern(plain: str) -> bool:
    """Tell whether *plain* is one short piece over and over, or runs along alphabet or keyboard."""
    piece = _repeated_piece(plain)
    if piece != plain and is_common(piece):
        return True
    if len(plain) >= _BEYOND_PATTERNS:
        return False  # length alone makes up for what is simple about it
    if len(piece) <= _TRIVIAL_PERIOD:
        return True
    runs = 1 + sum(
        before != after and (before, after) not in _NEIGHBOURS for before, after in pairwise(plain)
    )
    return len(plain) >= runs * _TRIVIAL_RUN


def _repeated_piece(text: str) -> str:
    """Return the shortest piece that *text* is a repetition of, the last one possibly cut."""
    for length in range(1, len(text) // 2 + 1):
        if text[length:] == text[:-length]:
            return text[:length]
    return text


def _context_words(
    username: str, email: str | None, full_name: str | None, service_name: str
) -> set[str]:
    address = email or ""
    local_part, _, domain = address.rpartition("@")
    sources = (username, address, local_part, *domain.split("."), full_name or "", service_name)
    words: set[str] = set()
    for source in map(plain_form, sources):
        parts = [part for part in _NO_WORD.split(source) if part]
        words.update(parts, ["".join(parts), source])
    return {word for word in words if len(word) >= _MIN_WORD}


def _consists_of(plain: str, words: Iterable[str]) -> bool:
    """Tell whether nothing but decoration is left of *plain* without *words*.

    A word counts forwards and backwards, with digits and signs in place of letters, and as often
    as it comes. Decoration is up to seven characters that are no letters, or what would itself be
    too common or too simple, such as any four characters.
    """
    spellings = {spelling for word in words for spelling in (word, word[::-1])}
    if not spellings:
        return False
    longest_first = sorted(spellings, key=lambda word: (-len(word), word))
    rest, found = re.subn("|".join(map(_pattern_of, longest_first)), "", plain)
    if not found:
        return False
    are_signs = not any(character.isalpha() for character in rest)
    return (are_signs and len(rest) <= _MAX_SIGNS_BESIDE) or is_common(rest) or _is_pattern(rest)


def _pattern_of(word: str) -> str:
    """Return a regular expression for *word* with look-alikes in place of its letters."""
    return "".join(f"[{re.escape(_LOOK_ALIKES.get(letter, letter))}]" for letter in word)
