"""User names and e-mail addresses: which ones are allowed, and which two are the same.

An account is found by a key, never by the text that someone typed. Whatever a name is checked
against, stored under and looked up by comes from here, so that twins (other case, width, form, an
invisible character, a trailing dot, a domain in Punycode) can not exist side by side.

Mail always goes to the **stored** address of the account that was found, never to the text that
was typed: the key is generous and merges addresses that a mail system may tell apart.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from twinlock.accounts.domains import ascii_domain, canonical_domain, checked_domain
from twinlock.accounts.folding import fold, is_invisible
from twinlock.accounts.scripts import is_letter_or_digit, is_one_script

UsernameKey = NewType("UsernameKey", str)
EmailKey = NewType("EmailKey", str)

MAX_USERNAME = 64  # characters, as shown and as key
MAX_EMAIL = 254  # octets: a path of 256 with its brackets (RFC 5321 section 4.5.3.1.3)
MAX_LOCAL_PART = 64  # octets, RFC 5321 section 4.5.3.1.1
MAX_TYPED = 1024  # characters; a longer login name is nobody's

MAX_NAME_KEY = 255
_MAX_MARKS_IN_A_ROW = 4  # UTS #39 section 5.4
_USERNAME_PUNCTUATION = frozenset("._-+")
_ATOM_PUNCTUATION = frozenset("!#$%&'*+-/=?^_`{|}~")  # RFC 5322 section 3.2.3, atext
_USERNAME_ENDS = re.compile(r"\A[.\s]+|[.\s]+\Z")


@dataclass(frozen=True, slots=True)
class Username:
    """An allowed user name: as it is shown, and the key that no other account may have."""

    text: str
    key: UsernameKey


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """A well-formed e-mail address: as it is shown and mailed, and the key it is found by."""

    text: str
    key: EmailKey


class UsernameProblem(StrEnum):
    """Why a user name is refused; the value is a stable code, ``sentence`` is for people."""

    EMPTY = "username_empty"
    TOO_LONG = "username_too_long"
    AT_SIGN = "username_at_sign"
    SPACE = "username_space"
    INVISIBLE = "username_invisible_character"
    CHARACTER = "username_character"
    ENDS = "username_ends"
    SCRIPTS = "username_scripts"

    @property
    def sentence(self) -> str:
        """Return what to tell the person."""
        return _USERNAME_SENTENCES[self]


class EmailProblem(StrEnum):
    """Why an e-mail address is refused; the value is a stable code, ``sentence`` is for people."""

    EMPTY = "email_empty"
    TOO_LONG = "email_too_long"
    INVISIBLE = "email_invisible_character"
    LOCAL_PART = "email_local_part"
    DOMAIN = "email_domain"
    SYNTAX = "email_syntax"

    @property
    def sentence(self) -> str:
        """Return what to tell the person."""
        return _EMAIL_SENTENCES[self]


_USERNAME_SENTENCES = {
    UsernameProblem.EMPTY: "A user name needs at least one character.",
    UsernameProblem.TOO_LONG: f"A user name has at most {MAX_USERNAME} characters.",
    UsernameProblem.AT_SIGN: "A user name contains no @.",
    UsernameProblem.SPACE: "A user name contains no spaces.",
    UsernameProblem.INVISIBLE: "The user name contains an invisible or unknown character.",
    UsernameProblem.CHARACTER: (
        "A user name consists of letters, digits, dots, hyphens, underscores and plus signs."
    ),
    UsernameProblem.ENDS: "A user name begins with a letter, a digit or an underscore, "
    "does not end with a dot, and has no two dots in a row.",
    UsernameProblem.SCRIPTS: "A user name does not mix letters of different alphabets.",
}
_EMAIL_SENTENCES = {
    EmailProblem.EMPTY: "Enter an e-mail address.",
    EmailProblem.TOO_LONG: "The e-mail address is too long.",
    EmailProblem.INVISIBLE: "The e-mail address contains an invisible or unknown character.",
    EmailProblem.LOCAL_PART: "The part before the @ is not a valid mailbox name.",
    EmailProblem.DOMAIN: "The part after the @ is not a valid domain name.",
    EmailProblem.SYNTAX: "An e-mail address looks like name@example.com.",
}


@dataclass(frozen=True, slots=True)
class LoginKey:
    """What the account of a typed login name is looked up by.

    Attributes:
        text: A ``UsernameKey`` or an ``EmailKey``; any database can store and compare it.
        is_email: Which of the two.
    """

    text: str
    is_email: bool


def login_key(typed: str) -> LoginKey:
    """Return what the account of a login name is looked up by, as someone typed it.

    Any text has a key. One that can be nobody's (too long, with control characters or lone
    surrogates) gets a key of its own that no account can have, and by which its tries are counted.
    """
    if len(typed) > MAX_TYPED or _has_control_or_surrogate(typed):
        return _nobody(typed)
    is_email = "@" in typed or "@" in fold(typed)
    key = canonical_email(typed) if is_email else canonical_username(typed)
    return LoginKey(key, is_email) if len(key) <= MAX_EMAIL else _nobody(typed)


def name_key(full_name: str | None) -> str | None:
    """Return the search key of a full name; a name's beginning has the beginning of its key."""
    return fold(full_name.strip())[:MAX_NAME_KEY] or None if full_name else None


def canonical_username(text: str) -> UsernameKey:
    """Return the key of a user name; twins have the same. Defined for any text."""
    return UsernameKey(_USERNAME_ENDS.sub("", fold(text)))


def canonical_email(text: str) -> EmailKey:
    """Return the key of an e-mail address; twins have the same. Defined for any text.

    The local part is folded like a user name although RFC 5321 section 2.4 lets mail servers
    tell cases apart: none in use does, and an address that differs by case only is an attack.
    """
    local_part, at, domain = fold(text).strip().rpartition("@")
    return EmailKey(local_part + at + canonical_domain(domain))


def check_username(text: str) -> Username | UsernameProblem:
    """Return *text* as a user name, without surrounding spaces and in NFKC, or what is wrong.

    Allowed are 1 to 64 letters, marks and decimal digits of one writing system in use, and
    ``. _ - +`` (the identifier class of RFC 8264 section 4.2, narrowed). The first is a letter, a
    digit or an underscore; a dot neither ends the name nor follows a dot.
    """
    if len(text) > MAX_TYPED:
        return UsernameProblem.TOO_LONG
    if any(is_invisible(character) for character in text):
        return UsernameProblem.INVISIBLE
    shown = unicodedata.normalize("NFKC", text).strip()
    key = canonical_username(shown)
    problem = _username_problem(shown, key)
    return problem or Username(shown, key)


def check_email(text: str) -> EmailAddress | EmailProblem:
    """Return *text* as an e-mail address, without surrounding spaces and in NFKC, or the problem.

    A dot-atom (RFC 5321 section 4.1.2; UTF-8 as in RFC 6531 section 3.3), an @ and a domain of
    two labels or more. No quoted strings, comments or address literals. The domain comes back in
    lower-case letters, never in Punycode; ``smtp_address`` turns it around.
    """
    if len(text) > MAX_TYPED:
        return EmailProblem.TOO_LONG
    if any(is_invisible(character) for character in text):
        return EmailProblem.INVISIBLE
    shown = unicodedata.normalize("NFKC", text).strip()
    if not shown:
        return EmailProblem.EMPTY
    local_part, at, claimed_domain = shown.rpartition("@")
    if not at or not local_part or not claimed_domain:
        return EmailProblem.SYNTAX
    if not _is_dot_atom(local_part):
        return EmailProblem.LOCAL_PART
    domain = checked_domain(claimed_domain)
    if domain is None:
        return EmailProblem.DOMAIN
    if len(local_part.encode()) > MAX_LOCAL_PART:
        return EmailProblem.TOO_LONG
    address = f"{local_part}@{domain}"
    key = canonical_email(address)
    if max(len(text.encode()) for text in (address, smtp_address(address), key)) > MAX_EMAIL:
        return EmailProblem.TOO_LONG
    return EmailAddress(address, key)


def smtp_address(address: str) -> str:
    """Return a checked address with its domain in ASCII, as mail servers without SMTPUTF8 want.

    Args:
        address: The ``text`` of an ``EmailAddress``.
    """
    local_part, _, domain = address.rpartition("@")
    return f"{local_part}@{ascii_domain(domain)}"


def _username_problem(shown: str, key: UsernameKey) -> UsernameProblem | None:
    if not shown:
        return UsernameProblem.EMPTY
    if max(len(shown), len(key)) > MAX_USERNAME:
        return UsernameProblem.TOO_LONG
    if "@" in shown:
        return UsernameProblem.AT_SIGN
    if any(character.isspace() for character in shown):
        return UsernameProblem.SPACE
    if not all(c in _USERNAME_PUNCTUATION or is_letter_or_digit(c) for c in shown):
        return UsernameProblem.CHARACTER
    if not _has_legible_marks(shown):
        return UsernameProblem.CHARACTER
    if shown[0] in ".-+" or shown[-1] == "." or ".." in shown:
        return UsernameProblem.ENDS
    return None if is_one_script(shown) else UsernameProblem.SCRIPTS


def _is_dot_atom(local_part: str) -> bool:
    return all(
        atom
        and all(c in _ATOM_PUNCTUATION or is_letter_or_digit(c) for c in atom)
        and _has_legible_marks(atom)
        and is_one_script(atom)
        for atom in local_part.split(".")
    )


def _has_legible_marks(text: str) -> bool:
    """Tell whether every mark has a letter to stand on, and no letter disappears under marks."""
    marks = _MAX_MARKS_IN_A_ROW
    for character in text:
        if unicodedata.category(character)[0] != "M":
            marks = 0 if is_letter_or_digit(character) else _MAX_MARKS_IN_A_ROW
        elif marks == _MAX_MARKS_IN_A_ROW:
            return False
        else:
            marks += 1
    return True


def _has_control_or_surrogate(text: str) -> bool:
    if text.isascii():
        return not text.isprintable()
    return any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def _nobody(text: str) -> LoginKey:
    # "!" is in no user name, so this finds no account.
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return LoginKey(f"!{digest}", is_email=False)
