"""A refresh token is made by the server alone, and is good for one use."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.core.keyring import Keyring
from twinlock.core.secrets import from_base64url, to_base64url
from twinlock.tokens.refresh_token import (
    PREFIX,
    Presented,
    Repeat,
    Reused,
    Rotate,
    judge,
    mint,
    parse,
)

KEYRING = Keyring([b"n" * 32, b"o" * 32])
OLD_RING = Keyring([b"o" * 32])
SESSION = "00112233445566778899aabbccddeeff"
OTHER_SESSION = "10112233445566778899aabbccddeeff"
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
GRACE = timedelta(seconds=10)
TOKEN = mint(KEYRING, SESSION, 7)


def bytes_of(token: str) -> bytearray:
    return bytearray(from_base64url(token.removeprefix(PREFIX)))


def token_of(data: bytes | bytearray) -> str:
    return PREFIX + to_base64url(bytes(data))


@pytest.mark.parametrize("counter", [0, 1, 255, 65_536, 2**32 - 1])
def test_a_token_names_its_session_and_place(counter: int) -> None:
    token = mint(KEYRING, SESSION, counter)

    assert parse(KEYRING, token) == Presented(SESSION, counter)


def test_a_token_can_be_recognised_and_sent_anywhere() -> None:
    """RFC 6749 appendix A.17: a refresh token is made of printable ASCII."""
    assert TOKEN.startswith("tlr_")
    assert set(TOKEN) <= set(string.ascii_letters + string.digits + "-_")
    assert len(TOKEN) == 79


def test_the_same_place_gives_the_same_token() -> None:
    """Security page, 6: within the grace the same parent gives the same child."""
    assert mint(KEYRING, SESSION, 7) == TOKEN
    assert mint(KEYRING, SESSION, 8) != TOKEN


def test_a_token_of_an_older_master_key_is_still_good() -> None:
    assert parse(KEYRING, mint(OLD_RING, SESSION, 3)) == Presented(SESSION, 3)


def test_a_token_of_a_key_that_is_gone_is_not() -> None:
    assert parse(OLD_RING, TOKEN) is None


def test_a_mac_of_another_purpose_is_no_refresh_token() -> None:
    place = (7).to_bytes(4, "big")
    session = bytes.fromhex(SESSION)

    forged = token_of(session + place + KEYRING.mac("device", session, place))

    assert parse(KEYRING, forged) is None


def test_the_mac_of_one_session_does_not_serve_another() -> None:
    data = bytes_of(TOKEN)
    data[:16] = bytes.fromhex(OTHER_SESSION)

    assert parse(KEYRING, token_of(data)) is None


def test_session_and_place_cannot_be_cut_differently() -> None:
    """A byte moved from the session to the counter must not keep the MAC valid."""
    session, place = bytes.fromhex(SESSION)[:15], b"\xff\x00\x00\x00\x07"

    forged = token_of(session + place + KEYRING.mac("refresh", session, place))

    assert parse(KEYRING, forged) is None


def test_no_byte_can_be_changed() -> None:
    for place in range(56):
        data = bytes_of(TOKEN)
        data[place] ^= 1
        assert parse(KEYRING, token_of(data)) is None, place


@pytest.mark.parametrize(
    "text",
    [
        "",
        PREFIX,
        TOKEN.removeprefix(PREFIX),
        TOKEN.upper(),
        TOKEN + "=",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN + "A",
        TOKEN[:-1],
        TOKEN[:-1] + chr(ord(TOKEN[-1]) + 1),  # other trailing bits, same bytes
        TOKEN[:40] + "!" + TOKEN[40:],
        TOKEN[:40] + "+" + TOKEN[41:],
        token_of(bytes_of(TOKEN)[:-1]),
        token_of(bytes_of(TOKEN) + b"\0"),
        token_of(bytes_of(TOKEN)[:20]),
        token_of(b""),
        PREFIX + "\ud800",
        PREFIX + "ä" * 75,
        PREFIX + "A" * 1_000_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert parse(KEYRING, text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert parse(KEYRING, text) is None
    assert parse(KEYRING, PREFIX + text) is None


@pytest.mark.parametrize("session_id", ["", "0011", SESSION + "00", "x" * 32])
def test_what_is_no_session_id_gets_no_token(session_id: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's own for some
        mint(KEYRING, session_id, 0)


@pytest.mark.parametrize("counter", [-1, 2**32])
def test_a_counter_that_does_not_fit_gets_no_token(counter: int) -> None:
    with pytest.raises(OverflowError):
        mint(KEYRING, SESSION, counter)


SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    "presented, current, age, grace, expected",
    [
        pytest.param(4, 4, SECOND, GRACE, Rotate(5), id="current"),
        pytest.param(4, 4, timedelta(days=13), GRACE, Rotate(5), id="current-long-after"),
        pytest.param(0, 0, SECOND, GRACE, Rotate(1), id="first"),
        pytest.param(3, 4, timedelta(0), GRACE, Repeat(4), id="parent-at-once"),
        pytest.param(3, 4, GRACE - TICK, GRACE, Repeat(4), id="parent-just-inside"),
        pytest.param(3, 4, GRACE, GRACE, Reused(), id="parent-just-outside"),
        pytest.param(3, 4, timedelta(0), timedelta(0), Reused(), id="no-grace"),
        pytest.param(3, 4, -SECOND, timedelta(0), Reused(), id="no-grace-clock-back"),
        pytest.param(3, 4, -SECOND, GRACE, Repeat(4), id="clock-a-little-back"),
        pytest.param(3, 4, -GRACE, GRACE, Reused(), id="clock-far-back"),
        pytest.param(2, 4, timedelta(0), GRACE, Reused(), id="child-was-used"),
        pytest.param(0, 4, timedelta(0), GRACE, Reused(), id="first-again"),
        pytest.param(5, 4, timedelta(0), GRACE, Reused(), id="ahead-of-the-row"),
        pytest.param(2**32 - 1, 4, timedelta(0), GRACE, Reused(), id="far-ahead"),
    ],
)
def test_one_use_then_the_same_child_for_a_moment_then_the_end(
    presented: int, current: int, age: timedelta, grace: timedelta, expected: object
) -> None:
    """RFC 9700 section 4.14.2: the use of a spent refresh token revokes the family."""
    judged = judge(presented, current_counter=current, rotated_at=NOW - age, now=NOW, grace=grace)

    assert judged == expected
