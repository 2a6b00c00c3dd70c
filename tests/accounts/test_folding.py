"""Texts that a person takes for the same fold into one."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twinlock.accounts.folding import fold, is_invisible

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
@example("İ\u0323\u0307")
@example("ﬃ\u0345ΐ")
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_every_character_folds_to_a_fixed_point() -> None:
    """All that are assigned, but for the ideographs and syllables, which fold to themselves."""
    characters = [
        chr(code)
        for code in (*range(0x3400), *range(0xD7B0, 0x17000), *range(0x18D00, 0x20000))
        if unicodedata.category(chr(code)) != "Cn"
    ]

    folded = [fold(f"i{character}\u0307") for character in characters]

    assert [fold(text) for text in folded] == folded


@given(ANY_TEXT)
def test_case_width_and_form_make_no_difference(text: str) -> None:
    folded = fold(text)

    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == folded
    assert fold(text.casefold()) == folded


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_is_no_other_way(text: str) -> None:
    assert fold(text) == fold(text + "\u200b")


@pytest.mark.parametrize(
    "left, right",
    [
        pytest.param("John", "jOHN", id="case"),
        pytest.param("straße", "STRASSE", id="sharp s"),
        pytest.param("ΝΙΚΟΣ", "νικος", id="final sigma"),
        pytest.param("ｊｏｈｎ", "john", id="full width"),
        pytest.param("𝒿𝑜𝒽𝓃", "john", id="mathematical letters"),
        pytest.param("ﬁn", "fin", id="ligature"),
        pytest.param("jos\u00e9", "jose\u0301", id="composed and decomposed"),
        pytest.param("a\u0323\u0302", "a\u0302\u0323", id="order of marks"),
        pytest.param("jo\u200bhn", "john", id="zero width space"),
        pytest.param("jo\u00adhn", "john", id="soft hyphen"),
        pytest.param("jo\ufe0fhn", "john", id="variation selector"),
        pytest.param("jo\u3164hn", "john", id="Hangul filler"),
        pytest.param("jo\ufff9hn", "john", id="annotation mark"),
        pytest.param("jo\u202ehn", "john", id="bidirectional override"),
        pytest.param("jo\U000e0061hn", "john", id="tag"),
        pytest.param("ISTANBUL", "\u0130stanbul", id="dotted capital i"),
        pytest.param("istanbul", "\u0131stanbul", id="dotless i"),
        pytest.param("ali1", "ali\u0661", id="Arabic digit"),
        pytest.param("ali1", "ali\u06f1", id="Persian digit"),
        pytest.param("ka", "\u212aa", id="Kelvin sign"),
        pytest.param("\u1ecba", "\u1ecb\u0307a", id="dot above and dot below"),
    ],
)
def test_twins_fold_into_one(left: str, right: str) -> None:
    assert fold(left) == fold(right)


@pytest.mark.parametrize(
    "left, right",
    [("john", "johm"), ("jose", "josé"), ("o", "ø"), ("о", "o"), ("は", "ハ"), ("1", "l")],
)
def test_different_letters_stay_different(left: str, right: str) -> None:
    assert fold(left) != fold(right)


@pytest.mark.parametrize(
    "character, expected",
    [
        ("a", False),
        ("é", False),
        ("山", False),
        (" ", False),
        ("\0", True),
        ("\x7f", True),
        ("\u200d", True),
        ("\u2066", True),
        ("\u034f", True),
        ("\u3164", True),
        ("\ud800", True),
        ("\ue000", True),
        ("\uffff", True),
        ("\U000e0100", True),
    ],
)
def test_what_cannot_be_seen_is_known(character: str, expected: bool) -> None:
    assert is_invisible(character) is expected
