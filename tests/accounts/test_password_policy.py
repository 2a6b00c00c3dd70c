"""Which new passwords are refused, and that nothing else is."""

import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.accounts.password_policy import (
    COMMON_PASSWORDS,
    MIN_LENGTH,
    PasswordProblem,
    check_new_password,
    is_common,
    plain_form,
)
from twinlock.accounts.passwords import FAST_PROFILE, hash_password

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def problem(
    password: str,
    *,
    username: str = "johndoe",
    email: str | None = "j.smith@acme-corp.example",
    full_name: str | None = "José van der Meer",
    service_name: str = "Twinlock",
    min_length: int = 8,
    max_length: int = 1_024,
) -> PasswordProblem | None:
    return check_new_password(
        password,
        username=username,
        email=email,
        full_name=full_name,
        service_name=service_name,
        min_length=min_length,
        max_length=max_length,
    )


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "kX9#mQ2v",
        "fjqwpzmx",
        "häßliche Ölsardinen",
        "пароль моей бабушки",
        "я люблю тебя очень",
        "山の上の小さな家に住む",
        "🐎🔋📎✅🐎🔋📎🙃",
        "twinlock is what I log in with",
        "my name is johndoe",
        "tab\tand\nline feed",
        "x9" * 2 + "kfwq" * 250 + "zz",
    ],
)
def test_no_kind_of_character_is_demanded_or_forbidden(password: str) -> None:
    """ASVS 5.0 6.2.5; SP 800-63B-4 section 3.1.1.2."""
    assert problem(password) is None


@pytest.mark.parametrize("length, expected", [(7, PasswordProblem.TOO_SHORT), (8, None)])
def test_a_password_has_at_least_8_characters(
    length: int, expected: PasswordProblem | None
) -> None:
    """ASVS 5.0 6.2.1. A character is a code point, whatever it takes in bytes."""
    assert problem("kX9#mQ2v"[:length]) is expected
    assert problem("山川火木金土月日"[:length]) is expected


@pytest.mark.parametrize("length, expected", [(14, PasswordProblem.TOO_SHORT), (15, None)])
def test_an_installation_may_demand_more(length: int, expected: PasswordProblem | None) -> None:
    assert problem("kX9#mQ2vkX9#mQ2"[:length], min_length=15) is expected


@pytest.mark.parametrize("length, expected", [(1_024, None), (1_025, PasswordProblem.TOO_LONG)])
def test_a_password_has_at_most_1024_characters(
    length: int, expected: PasswordProblem | None
) -> None:
    password = ("kX9#mQ2v" * 3 + "fjqwpzmx" * 126)[:length]

    assert problem(password.ljust(length, "w")) is expected
    assert problem(password.ljust(length, "w"), max_length=5_000) is expected


def test_an_installation_may_allow_less() -> None:
    assert problem("kX9#mQ2vwz", max_length=9) is PasswordProblem.TOO_LONG


@pytest.mark.parametrize(
    "password, expected",
    [
        ("kX9#\0mQ2v", PasswordProblem.CONTAINS_NUL),
        ("kX9#\ud800mQ2v", PasswordProblem.NOT_TEXT),
        ("\udfff" * 9, PasswordProblem.NOT_TEXT),
    ],
)
def test_what_cannot_be_hashed_is_refused(password: str, expected: PasswordProblem) -> None:
    assert problem(password) is expected


@given(ANY_TEXT)
def test_what_is_allowed_can_be_hashed(password: str) -> None:
    if problem(password, min_length=0) is None:
        assert hash_password(password, profile=FAST_PROFILE)


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "Password1",
        "PASSWORD",
        "12345678",
        "iloveyou",
        "qwertyuiop",
        "1qaz2wsx3edc",
        "trustno1",
        "sunshine",
        "football",
        "ｐａｓｓｗｏｒｄ",
        "pass\u200bword",
        "pássword",
        "passwordpassword",
    ],
)
def test_a_common_password_is_refused(password: str) -> None:
    """ASVS 5.0 6.2.4."""
    assert problem(password) is PasswordProblem.COMMON


@pytest.mark.parametrize("password", ["\n12345678\n", "12345678\npassword", "\npassword", "\ud800"])
def test_no_part_of_the_list_is_an_entry(password: str) -> None:
    assert not is_common(password)


def test_the_list_holds_at_least_3000_that_are_long_enough() -> None:
    """ASVS 5.0 6.2.4: at least the top 3000 that match the policy."""
    packed = gzip.decompress(COMMON_PASSWORDS.read_bytes())
    entries = packed.decode("utf-8").strip("\n").split("\n")

    assert len(entries) > 20_000
    assert entries == sorted(set(entries))
    assert all(plain_form(entry) == entry and len(entry) >= MIN_LENGTH for entry in entries)
    assert all(map(is_common, entries[::500] + entries[-1:]))
    assert not any(map(is_common, (f"{one}\n{two}" for one, two in pairwise(entries[:9]))))


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaaa",
        "zzzzzzzzyyyyyyyy",
        "xyxyxyxyxyxy",
        "wqzwqzwqzw",
        "kfwpkfwpkfwp",
        "bcdefghijk",
        "nmlkjihgfedcba",
        "23456789012345",
        "98765432109876",
        "sdfghjkl;'",
        "poiuztrewq",
        "azertyuiop12345",
        "qwertyuiopasdfghjkl",
        "!@#$%^&*()",
        "ABCDEFGHIJKLMNOP",
        "fghiqrst",
        "abcdefghijklmnop1234567890",
        "sunshinesunshine",
        " " * 12,
    ],
)
def test_a_pattern_is_refused(password: str) -> None:
    assert problem(password) is PasswordProblem.PATTERN


@pytest.mark.parametrize("password", ["fghiqrsz", "abckfwdefqz", "kfwpqkfwpq", "q1w2xkv9m3"])
def test_a_pattern_inside_a_password_is_none(password: str) -> None:
    assert problem(password) is None


@pytest.mark.parametrize(
    "password",
    [
        "johndoejohndoe",
        "JohnDoe1",
        "johndoe!2024",
        "johndoe!2024?!",
        "acmecorp2024",
        "2024-johndoe",
        "j0hnd03!!",
        "eodnhoj99",
        "johndoexyz",
        "johndoe12345678",
        "johndoepassword",
        "johndoe.",
        "Twinlock",
        "tw1nl0ck!",
        "twinlock2024",
        "kcolniwt",
        "twinlockjohndoe",
        "j.smith@acme-corp.example",
        "JSmith2024!",
        "smithacme1",
        "acme-twinlock",
        "José2024!!",
        "jose2024!!",
        "vandermeer7",
        "Meer_van_der",
    ],
)
def test_the_persons_and_the_services_names_are_no_password(password: str) -> None:
    """ASVS 5.0 6.2.11; SP 800-63B-4 section 3.1.1.2 names user and service."""
    assert problem(password) is PasswordProblem.CONTEXT_WORD


@pytest.mark.parametrize(
    "password",
    ["johndoekfwpq", "johndoe91827364", "smithereens", "twinlock-correct-horse", "joxhndxoe1"],
)
def test_a_password_may_contain_a_name_beside_enough_else(password: str) -> None:
    """SP 800-63B-4 section 3.1.1.2: the entire password is compared, not words inside it."""
    assert problem(password) is None


def test_an_account_needs_no_name_or_address() -> None:
    found = problem("fjqwpzmx", username="", email=None, full_name=None, service_name="")

    assert found is None


@pytest.mark.parametrize("name", ["jo", "", "@", "[x-", "((((", "a|b\\"])
def test_a_name_that_says_nothing_forbids_nothing(name: str) -> None:
    assert problem("jo1984!9", username=name, email=name, full_name=name) is None


def test_a_number_that_is_the_name_is_no_password() -> None:
    assert problem("20260483", username="20260483") is PasswordProblem.CONTEXT_WORD


def test_the_longer_of_two_names_counts() -> None:
    found = problem("annabelle77", username="ann", full_name="Annabelle Smith")

    assert found is PasswordProblem.CONTEXT_WORD


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_any_texts_give_an_answer(password: str, username: str, full_name: str) -> None:
    found = check_new_password(
        password,
        username=username,
        email=full_name,
        full_name=full_name,
        service_name=username,
        min_length=0,
    )

    assert found is None or found in PasswordProblem


def test_every_problem_says_what_is_wrong() -> None:
    for found in PasswordProblem:
        assert found.sentence.endswith(".")


def test_the_licences_of_the_list_lie_beside_it() -> None:
    licence = Path(COMMON_PASSWORDS).with_name("common_passwords.LICENSE.txt").read_text("utf-8")

    assert "Django Software Foundation" in licence
    assert "zxcvbn-ts" in licence
