"""Recovery codes as people see and type them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.factors.recovery_codes import codes

RANDOM = bytes.fromhex("00443214c74254b635cf84653a56d7")
CODE = "0123456789ABCDEFGHJKMNPQ"


def test_a_code_spells_its_random_bits_five_at_a_time() -> None:
    assert codes.new_code(RANDOM) == CODE
    assert codes.new_code(b"\xff" * 15) == "Z" * 24
    assert codes.new_code(bytes(15)) == "0" * 24


@pytest.mark.parametrize("length", [0, 14, 16])
def test_a_code_takes_all_its_bits(length: int) -> None:
    """ASVS 5.0 6.5.2: above 112 bits a fast hash is enough."""
    with pytest.raises(ValueError, match="15 random bytes"):
        codes.new_code(bytes(length))


@given(st.lists(st.binary(min_size=15, max_size=15), unique=True))
def test_different_bits_give_different_codes(random: list[bytes]) -> None:
    assert len({codes.new_code(some) for some in random}) == len(random)


def test_a_code_is_written_in_six_groups_of_four() -> None:
    assert codes.format_code(CODE) == "0123-4567-89AB-CDEF-GHJK-MNPQ"


@given(st.binary(min_size=15, max_size=15))
def test_what_is_written_is_read_back(random: bytes) -> None:
    code = codes.new_code(random)

    assert re.fullmatch(f"[{codes.ALPHABET}]{{24}}", code)
    assert codes.normalise(codes.format_code(code)) == code


@pytest.mark.parametrize(
    "typed",
    [
        "0123-4567-89AB-CDEF-GHJK-MNPQ",
        "0123456789abcdefghjkmnpq",
        " 0123 4567 89ab cdef ghjk mnpq\n",
        "O123-4567-89AB-CDEF-GHJK-MNPQ",
        "oI23-4567-89AB-CDEF-GHJK-MNPQ",
        "oi23-4567-89AB-CDEF-GHJK-MNPQ",
        "0L23-4567-89AB-CDEF-GHJK-MNPQ",
        "0l23-4567-89AB-CDEF-GHJK-MNPQ",
        "0123–4567−89AB—CDEF‑GHJK\u00a0MNPQ",
        "\u200b0123-4567-89AB-CDEF-GHJK-MNPQ\ufeff",
        "０１２３－４５６７－８９ａｂ－ＣＤＥＦ－ＧＨＪＫ－ＭＮＰＱ",
        "ｏｌ２３-4567-89AB-CDEF-GHJK-MNPQ",
        "0123-4567-89AB\u2028CDEF-GHJK-MNPQ\u2029",  # line and paragraph separators
        "-" * 104 + CODE,
    ],
)
def test_a_code_may_be_typed_as_people_type(typed: str) -> None:
    assert codes.normalise(typed) == CODE


@pytest.mark.parametrize(
    "typed",
    [
        "",
        CODE[:-1],
        CODE + "0",
        CODE[:-1] + "U",
        CODE[:-1] + "ı",  # upper case would make it an I
        CODE[:-1] + "ſ",
        CODE[:-1] + "²",
        CODE + "\0",
        CODE + "\ud800",
        CODE + "_",
        "-" * 105 + CODE,
        "0" * 1_000_000,
    ],
)
def test_what_is_no_code_is_refused(typed: str) -> None:
    assert codes.normalise(typed) is None


@given(st.text(st.characters(codec=None), max_size=140))
def test_whatever_is_typed_gives_a_code_or_nothing(typed: str) -> None:
    code = codes.normalise(typed)

    assert code is None or re.fullmatch(f"[{codes.ALPHABET}]{{24}}", code)
