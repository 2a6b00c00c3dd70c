"""TOTP against its published vectors, against a peer, and against what people type."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twinlock.factors.digits import normalise
from twinlock.factors.totp import rfc6238
from twinlock.factors.totp.rfc6238 import Algorithm, Params

KEY = b"12345678901234567890"
NOW = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
STEP = rfc6238.time_step(NOW)

RFC_4226_APPENDIX_D = (
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
)
RFC_6238_APPENDIX_B = (
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
)
# As long as the hash: the code of appendix A, which made the vectors, repeats the digits.
RFC_6238_KEYS: dict[Algorithm, bytes] = {
    "sha1": KEY,
    "sha256": (KEY * 2)[:32],
    "sha512": (KEY * 4)[:64],
}

params_values = st.builds(
    Params,
    digits=st.integers(6, 8),
    period=st.integers(15, 120).map(lambda seconds: timedelta(seconds=seconds)),
    algorithm=st.sampled_from(("sha1", "sha256", "sha512")),
)
keys = st.binary(min_size=16, max_size=64)


@pytest.mark.parametrize(
    "counter, code",
    [
        pytest.param(counter, code, id=f"RFC 4226 appendix D, counter {counter}")
        for counter, code in enumerate(RFC_4226_APPENDIX_D)
    ],
)
def test_hotp_gives_the_published_codes(counter: int, code: str) -> None:
    assert rfc6238.hotp(KEY, counter) == code


@pytest.mark.parametrize(
    "algorithm, seconds, code",
    [
        pytest.param(algorithm, row[0], code, id=f"RFC 6238 appendix B, {algorithm}, {row[0]} s")
        for row in RFC_6238_APPENDIX_B
        for algorithm, code in zip(("sha1", "sha256", "sha512"), row[1:], strict=True)
    ],
)
def test_totp_gives_the_published_codes(algorithm: Algorithm, seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    params = Params(digits=8, algorithm=algorithm)

    assert rfc6238.totp(RFC_6238_KEYS[algorithm], at=at, params=params) == code


@given(keys, st.integers(0, 2**33), params_values)
def test_totp_agrees_with_pyotp(key: bytes, seconds: int, params: Params) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    peer = pyotp.TOTP(
        pyotp.random_base32(),
        digits=params.digits,
        digest=params.algorithm,
        interval=params.period // timedelta(seconds=1),
    )
    peer.byte_secret = lambda: key  # type: ignore[method-assign] # any bytes, not only base32

    assert rfc6238.totp(key, at=at, params=params) == peer.at(at)


def test_a_step_begins_with_its_period() -> None:
    """RFC 6238 section 4.2: T is the floor of the division."""
    start = datetime(1970, 1, 1, tzinfo=UTC)

    steps = [
        rfc6238.time_step(start + timedelta(microseconds=m)) for m in (0, 29_999_999, 30_000_000)
    ]

    assert steps == [0, 0, 1]


@pytest.mark.parametrize("drift", [-1, 0, 1])
def test_a_code_of_the_window_matches_its_own_step(drift: int) -> None:
    code = rfc6238.hotp(KEY, STEP + drift)

    assert rfc6238.matching_step(KEY, code, now=NOW) == STEP + drift


@pytest.mark.parametrize("drift", [-2, 2])
def test_a_code_outside_of_the_window_matches_nothing(drift: int) -> None:
    """RFC 6238 section 5.2: at most one step for the delay of the network."""
    code = rfc6238.hotp(KEY, STEP + drift)

    assert rfc6238.matching_step(KEY, code, now=NOW) is None
    assert rfc6238.matching_step(KEY, code, now=NOW, window=2) == STEP + drift


@pytest.mark.parametrize(
    "after, matched", [(-1, STEP), (STEP - 1, STEP), (STEP, None), (STEP + 1, None)]
)
def test_a_spent_step_matches_no_more(after: int, matched: int | None) -> None:
    """RFC 6238 section 5.2: the verifier must not accept the second attempt."""
    code = rfc6238.hotp(KEY, STEP)

    assert rfc6238.matching_step(KEY, code, now=NOW, after=after) == matched


def test_a_code_that_fits_two_steps_is_spent_for_both() -> None:
    """Were the earlier step spent, the same text would be accepted again for the later."""
    key = (239_788).to_bytes(20, "big")  # found by search: two neighbouring steps share a code
    now = datetime.fromtimestamp(1_700_000_000, UTC)
    step = rfc6238.time_step(now)
    code = rfc6238.hotp(key, step)
    assert rfc6238.hotp(key, step - 1) == code

    matched = rfc6238.matching_step(key, code, now=now)

    assert matched == step
    assert rfc6238.matching_step(key, code, now=now, after=matched) is None


def test_a_key_of_other_params_is_compared_by_them() -> None:
    params = Params(digits=8, period=timedelta(seconds=60), algorithm="sha512")
    code = rfc6238.totp(KEY, at=NOW, params=params)

    assert rfc6238.matching_step(KEY, code, now=NOW, params=params) == rfc6238.time_step(
        NOW, params
    )
    assert rfc6238.matching_step(KEY, code, now=NOW) is None


@given(keys, st.text(max_size=12))
@example(KEY, "\ud800")
@example(KEY, "４２４２４２")
@example(KEY, "")
def test_only_the_code_itself_matches(key: bytes, code: str) -> None:
    shown = {rfc6238.hotp(key, STEP + drift) for drift in (-1, 0, 1)}

    assert (rfc6238.matching_step(key, code, now=NOW) is not None) == (code in shown)


@pytest.mark.parametrize("drift", [-10, -3, 0, 2, 10])
def test_a_clock_that_is_off_is_recognised(drift: int) -> None:
    code = rfc6238.hotp(KEY, STEP + drift)

    assert rfc6238.nearest_drift(KEY, code, now=NOW) == drift


@pytest.mark.parametrize("drift", [-11, 11])
def test_a_clock_that_is_too_far_off_is_not(drift: int) -> None:
    code = rfc6238.hotp(KEY, STEP + drift)

    assert rfc6238.nearest_drift(KEY, code, now=NOW) is None


def test_of_two_drifts_the_nearer_is_told() -> None:
    key = (239_788).to_bytes(20, "big")
    now = datetime.fromtimestamp(1_700_000_000, UTC) - timedelta(seconds=90)
    code = rfc6238.hotp(key, rfc6238.time_step(now) + 3)

    assert rfc6238.nearest_drift(key, code, now=now) == 2


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_a_clock_far_off_gives_codes_and_no_error(moment: datetime) -> None:
    """RFC 6238 section 4.2: time beyond 2038 must be supported; before 1970 nothing matches."""
    code = rfc6238.totp(KEY, at=moment)

    assert len(code) == 6
    assert (rfc6238.matching_step(KEY, code, now=moment) is not None) == (moment.year > 1970)
    assert rfc6238.nearest_drift(KEY, code, now=moment) == 0


@pytest.mark.parametrize(
    "typed",
    [
        "123456",
        " 123 456 ",
        "123-456",
        "123.456",
        "123\u00a0456",  # no-break space
        "123\u2009456",  # thin space
        "123\u2013456",  # en dash
        "123\u2212456",  # minus
        "123\u2028456\u2029",  # line and paragraph separators
        "-" * 58 + "123456",
        "\u200b123456\u2069\n",  # marks that copying from a page brings along
        "１２３４５６",
        "１２３．４５６",
        "١٢٣٤٥٦",  # Arabic-Indic
        "१२३४५६",  # Devanagari
    ],
)
def test_a_code_may_be_typed_as_people_type(typed: str) -> None:
    assert normalise(typed) == "123456"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "12345",
        "123456789",
        "12345a",
        "123²56",  # a digit, but not a decimal one
        "12345Ⅵ",
        "①②③④⑤⑥",
        "123456\0",
        "123456\ud800",
        "-" * 59 + "123456",
        "1" * 1_000_000,
    ],
)
def test_what_is_no_code_is_refused(typed: str) -> None:
    assert normalise(typed) is None


@pytest.mark.parametrize("code", ["123456", "1234567", "12345678"])
def test_codes_of_six_to_eight_digits_pass(code: str) -> None:
    assert normalise(code) == code


@given(st.text(st.characters(codec=None), max_size=80))
def test_whatever_is_typed_gives_ascii_digits_or_nothing(typed: str) -> None:
    code = normalise(typed)

    assert code is None or (code.isascii() and code.isdigit() and 6 <= len(code) <= 8)
