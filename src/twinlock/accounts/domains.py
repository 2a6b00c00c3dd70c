"""The domain of an e-mail address, in letters as people write it and in ASCII as mail carries it.

``bücher.example`` and ``xn--bcher-kva.example`` are one domain. Only names a mail server can have
pass: letters, digits and hyphens, two labels or more, no address literal.
"""

import re
import unicodedata

from twinlock.accounts.folding import fold, is_invisible
from twinlock.accounts.scripts import is_letter_or_digit, is_one_script

_MAX_LABEL = 63  # octets, RFC 1035 section 2.3.4
_ASCII_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PUNYCODE_PREFIX = "xn--"
_END = re.compile(r"[.\s]+\Z")
_MOST_ROUNDS = 4


def canonical_domain(domain: str) -> str:
    """Return the key of *domain*; defined for any text, and stable under repetition."""
    for _ in range(_MOST_ROUNDS):
        labels = _END.sub("", fold(domain).replace("\u3002", ".")).split(".")
        canonical = ".".join(fold(_unicode_label(label) or label) for label in labels)
        if canonical == domain:
            break
        domain = canonical
    return domain


def checked_domain(domain: str) -> str | None:
    """Return *domain* in lower-case letters, or None if no mail could be sent there.

    Args:
        domain: A text in NFKC. Labels in Punycode come back as what they spell.
    """
    labels = [_checked_label(label) for label in domain.replace("\u3002", ".").lower().split(".")]
    if labels and labels[-1] == "":
        labels.pop()  # the root's dot
    if len(labels) < 2 or None in labels or "" in labels:
        return None
    checked = ".".join(label for label in labels if label)
    if checked.rpartition(".")[2].isdecimal():
        return None  # an IP address, and no top-level domain (RFC 3696 section 2)
    return checked


def ascii_domain(domain: str) -> str:
    """Return *domain*, as given by ``checked_domain``, in the ASCII form that SMTP carries.

    German sharp s and Greek final sigma stay themselves, as IDNA 2008 has it (RFC 5894
    section 7.2).
    """
    return ".".join(_ascii_label(label) for label in domain.split("."))


def _checked_label(label: str) -> str | None:
    """Return *label* in letters; empty for an empty one, None for a bad one."""
    if label == "":
        return ""
    if label.startswith(_PUNYCODE_PREFIX):
        return _unicode_label(label)
    if label.isascii():
        is_good = _ASCII_LABEL.fullmatch(label) and label[2:4] != "--" and len(label) <= _MAX_LABEL
        return label if is_good else None
    return label if _is_unicode_label(label) else None


def _is_unicode_label(label: str) -> bool:
    """Tell whether *label* is one that IDNA 2008 could register (RFC 5891 section 4.2.3)."""
    return (
        len(label) <= _MAX_LABEL
        and label[0] != "-"
        and label[-1] != "-"
        and label[2:4] != "--"
        and all(_is_label_character(character) for character in label)
        and unicodedata.category(label[0])[0] != "M"
        and unicodedata.normalize("NFKC", label).lower() == label
        and is_one_script(label)
        and len(_ascii_label(label)) <= _MAX_LABEL
    )


def _is_label_character(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character == "-"
    return is_letter_or_digit(character) and not is_invisible(character)


def _unicode_label(label: str) -> str | None:
    """Return what a label in Punycode spells, or None if it is none or not in canonical form."""
    if not label.startswith(_PUNYCODE_PREFIX) or not label.isascii() or len(label) > _MAX_LABEL:
        return None
    try:
        decoded = label[len(_PUNYCODE_PREFIX) :].encode("ascii").decode("punycode")
    except ValueError:
        return None
    if not decoded or not _is_unicode_label(decoded):
        return None
    return decoded if _ascii_label(decoded) == label else None


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    return _PUNYCODE_PREFIX + label.encode("punycode").decode("ascii")
