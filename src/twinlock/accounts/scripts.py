"""Which writing systems a name uses, so that a Cyrillic letter cannot pose as a Latin one.

The rule is "single script" of UTS #39 section 5.1, drawn from the names of the characters, since
the standard library has no script property. It stops names that mix scripts. It does not stop
look-alikes inside one script (``l`` and ``I``), nor a whole name in the letters of another
script; both are visible to nobody but a table of confusables, and no key hides them.
"""

import unicodedata

# The scripts in everyday use (UAX #31 table 5) as the first word of their characters' names.
_SCRIPTS = frozenset({
    "ARABIC", "ARMENIAN", "BENGALI", "BOPOMOFO", "CYRILLIC", "DEVANAGARI", "ETHIOPIC", "GEORGIAN",
    "GREEK", "GUJARATI", "GURMUKHI", "HAN", "HANGUL", "HEBREW", "HIRAGANA", "KANNADA", "KATAKANA",
    "KHMER", "LAO", "LATIN", "MALAYALAM", "MYANMAR", "ORIYA", "SINHALA", "TAMIL", "TELUGU",
    "THAANA", "THAI", "TIBETAN",
})  # fmt: skip
_BY_FIRST_WORD = {
    "CJK": "HAN",
    "IDEOGRAPHIC": "HAN",
    "KATAKANA-HIRAGANA": "KATAKANA",
    "ARABIC-INDIC": "ARABIC",
    "EXTENDED": "ARABIC",  # EXTENDED ARABIC-INDIC DIGIT ...
}
# UTS #39 section 5.1: writing systems that are made of several scripts.
_WRITTEN_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "BOPOMOFO"}),
    frozenset({"HAN", "HANGUL"}),
)
# The phonetic alphabet is full of second shapes for a, g and i. These of its letters are in the
# orthographies of living languages (Hausa, Ewe, Bambara, Azerbaijani, Skolt Sami, ...).
_LIVING_PHONETIC = frozenset("ɓɔɖɗəɛɣɨɲʉʊʋʒ")
# Stretches a word and is no letter of it; IDNA 2008 disallows it as well (RFC 5892 section 2.6).
_ARABIC_TATWEEL = "\u0640"


def is_letter_or_digit(character: str) -> bool:
    """Tell whether *character* is a letter, a mark on one, or a decimal digit, of a script in use.

    Args:
        character: One character of a text in NFKC.
    """
    category = unicodedata.category(character)
    if category == "Nd" or category in {"Mn", "Mc"}:
        return _script(character) is not None
    if category[0] != "L" or character == _ARABIC_TATWEEL:
        return False
    script = _script(character)
    if script == "LATIN":
        return category != "Lo" and _is_living_latin(character)
    return script in _SCRIPTS


def is_one_script(text: str) -> bool:
    """Tell whether all letters of *text* belong to one writing system."""
    scripts = {_script(character) for character in text if not character.isascii()}
    scripts |= {"LATIN" for character in text if character.isascii() and character.isalpha()}
    scripts -= {"COMMON", None}
    return len(scripts) <= 1 or any(scripts <= together for together in _WRITTEN_TOGETHER)


def _is_living_latin(character: str) -> bool:
    return (
        character < "\u0250" or "\u1e00" <= character <= "\u1eff" or character in _LIVING_PHONETIC
    )


def _script(character: str) -> str | None:
    """Return the script of a letter, mark or digit; COMMON if any may use it, None if no name."""
    first = unicodedata.name(character, "").partition(" ")[0]
    if first in {"COMBINING", "DIGIT"}:
        return "COMMON"
    script = _BY_FIRST_WORD.get(first, first)
    return script if script in _SCRIPTS else None
