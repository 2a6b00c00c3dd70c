"""The URI that carries a key to an app and back, and its QR code."""

import hashlib
import xml.etree.ElementTree as ET
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.factors.totp import otpauth
from twinlock.factors.totp.otpauth import Parsed, Problem
from twinlock.factors.totp.rfc6238 import DEFAULTS, Params

KEY = bytes(range(20))
SECRET = "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT"
URI = f"otpauth://totp/ACME%20Co:alice@example.com?secret={SECRET}&issuer=ACME%20Co"


def with_parameter(text: str) -> str:
    return f"otpauth://totp/ACME:alice?secret={SECRET}&{text}"


def test_the_uri_is_the_one_that_apps_read() -> None:
    uri = otpauth.provisioning_uri(KEY, issuer="ACME Co", account_name="alice@example.com")

    assert uri == URI


def test_a_space_is_never_a_plus() -> None:
    """Authenticator apps show a plus as it is."""
    uri = otpauth.provisioning_uri(KEY, issuer="A + B", account_name="al ice+x")

    assert uri.startswith("otpauth://totp/A%20%2B%20B:al%20ice%2Bx?")
    assert "issuer=A%20%2B%20B" in uri
    assert "+" not in uri


def test_only_what_apps_would_not_assume_is_named() -> None:
    params = Params(digits=8, period=timedelta(seconds=60), algorithm="sha256")

    uri = otpauth.provisioning_uri(KEY, issuer="ACME", account_name="alice", params=params)

    query = parse_qs(urlsplit(uri).query)
    assert (query["algorithm"], query["digits"], query["period"]) == (["SHA256"], ["8"], ["60"])


def test_a_colon_in_a_name_does_not_move_the_border() -> None:
    uri = otpauth.provisioning_uri(KEY, issuer="localhost:8000", account_name="a:b")

    parsed = otpauth.parse_uri(uri)
    assert isinstance(parsed, Parsed)
    assert (parsed.issuer, parsed.account_name) == ("localhost 8000", "a b")


@given(
    st.binary(min_size=10, max_size=128),
    st.text(st.characters(codec=None), min_size=1),
    st.text(st.characters(codec=None)),
    st.builds(
        Params,
        digits=st.integers(6, 8),
        period=st.integers(15, 120).map(lambda seconds: timedelta(seconds=seconds)),
        algorithm=st.sampled_from(("sha1", "sha256", "sha512")),
    ),
)
def test_what_is_written_is_read_back(key: bytes, issuer: str, name: str, params: Params) -> None:
    uri = otpauth.provisioning_uri(key, issuer=issuer, account_name=name, params=params)

    parsed = otpauth.parse_uri(uri)
    assert isinstance(parsed, Parsed)
    assert (parsed.key, parsed.params) == (key, params)


def test_the_longest_names_still_fit_a_qr_code() -> None:
    uri = otpauth.provisioning_uri(bytes(64), issuer="ç" * 1000, account_name="界" * 1000)

    assert otpauth.qr_svg(uri).startswith("<svg ")
    assert isinstance(otpauth.parse_uri(uri), Parsed)


def test_pyotp_reads_our_uri() -> None:
    peer = pyotp.parse_uri(otpauth.provisioning_uri(KEY, issuer="ACME Co", account_name="alice"))

    assert (peer.secret, peer.issuer, peer.name) == (SECRET, "ACME Co", "alice")


def test_we_read_the_uri_of_pyotp() -> None:
    uri = pyotp.TOTP(SECRET, digits=8, digest=hashlib.sha512, interval=60).provisioning_uri(
        name="alice@example.com", issuer_name="ACME Co"
    )

    parsed = otpauth.parse_uri(uri)

    params = Params(digits=8, period=timedelta(seconds=60), algorithm="sha512")
    assert parsed == Parsed(KEY, params, "ACME Co", "alice@example.com")


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        f"  {URI}\n",
        URI.replace("otpauth://totp", "OTPAUTH://TOTP"),
        URI.replace(":alice", "%3A%20alice"),
        URI + "&digits=6&period=30&algorithm=SHA1",
        URI + "&algorithm=sha-1",
        URI + "&image=https%3A%2F%2Facme.example%2Flogo.png&unknown=1",
        URI + "#fragment",
        URI.replace("&issuer=ACME%20Co", ""),
        URI.replace("secret=", "SECRET="),
        URI.replace(SECRET, SECRET.lower() + "%3D%3D"),
    ],
)
def test_every_usual_spelling_is_read(uri: str) -> None:
    assert otpauth.parse_uri(uri) == Parsed(KEY, DEFAULTS, "ACME Co", "alice@example.com")


def test_a_label_without_issuer_is_the_account() -> None:
    parsed = otpauth.parse_uri(f"otpauth://totp/alice?secret={SECRET}")

    assert parsed == Parsed(KEY, DEFAULTS, "", "alice")


@pytest.mark.parametrize(
    "uri, problem",
    [
        ("", Problem.NOT_OTPAUTH),
        ("https://totp/x?secret=" + SECRET, Problem.NOT_OTPAUTH),
        ("otpauth-migration://offline?data=CjEK", Problem.NOT_OTPAUTH),
        (URI.replace("totp", "hotp"), Problem.NOT_TOTP),
        (f"otpauth://[totp/x?secret={SECRET}", Problem.NOT_TOTP),
        ("otpauth://totp/x", Problem.SECRET_MISSING),
        ("otpauth://totp/x?secret=", Problem.SECRET_MISSING),
        ("otpauth://totp/x?secret=%ff%fe", Problem.SECRET_NOT_BASE32),
        (with_parameter(f"secret={SECRET}"), Problem.REPEATED_PARAMETER),
        (with_parameter("digits=6&Digits=8"), Problem.REPEATED_PARAMETER),
        (with_parameter("&" * 40), Problem.TOO_LONG),
        (with_parameter("issuer=" + "x" * 5000), Problem.TOO_LONG),
        (with_parameter("algorithm=MD5"), Problem.ALGORITHM_NOT_SUPPORTED),
        (with_parameter("algorithm="), Problem.ALGORITHM_NOT_SUPPORTED),
        (with_parameter("digits=5"), Problem.DIGITS_NOT_SUPPORTED),
        (with_parameter("digits=9"), Problem.DIGITS_NOT_SUPPORTED),
        (with_parameter("digits=%EF%BC%96"), Problem.DIGITS_NOT_SUPPORTED),
        (with_parameter("period=14"), Problem.PERIOD_NOT_SUPPORTED),
        (with_parameter("period=121"), Problem.PERIOD_NOT_SUPPORTED),
        (with_parameter("period=" + "9" * 3000), Problem.PERIOD_NOT_SUPPORTED),
        (with_parameter("period=-30"), Problem.PERIOD_NOT_SUPPORTED),
    ],
)
def test_what_cannot_be_imported_is_told_why(uri: str, problem: Problem) -> None:
    assert otpauth.parse_uri(uri) == problem


@pytest.mark.parametrize("period", [15, 120])
def test_the_extreme_periods_are_read(period: int) -> None:
    parsed = otpauth.parse_uri(with_parameter(f"period={period}"))

    assert isinstance(parsed, Parsed)
    assert parsed.params.period == timedelta(seconds=period)


def test_names_that_no_database_takes_are_cleaned() -> None:
    parsed = otpauth.parse_uri(f"otpauth://totp/A%00B:al\ud800ice%0A?secret={SECRET}")

    assert parsed == Parsed(KEY, DEFAULTS, "AB", "alice")


@given(st.text(st.characters(codec=None)))
def test_any_text_gives_an_outcome(text: str) -> None:
    assert isinstance(otpauth.parse_uri("otpauth://totp/" + text), Parsed | Problem)
    assert isinstance(otpauth.parse_uri(text), Parsed | Problem)
    assert isinstance(otpauth.parse_secret(text), bytes | Problem)


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.lower(),
        "AAAQ EAYE AUDA OCAJ BIFQ YDIO B4IB CEQT",
        "aaaq-eaye-auda-ocaj-bifq-ydio-b4ib-ceqt\n",
    ],
)
def test_a_secret_may_be_typed_as_apps_show_it(text: str) -> None:
    assert otpauth.parse_secret(text) == KEY


@pytest.mark.parametrize(
    "text, problem",
    [
        ("AAAA1AAAAAAAAAAA", Problem.SECRET_NOT_BASE32),
        ("AAAAAAAAAAAAAAAAA", Problem.SECRET_NOT_BASE32),
        ("ＡAAAAAAAAAAAAAAA", Problem.SECRET_NOT_BASE32),
        ("AA=AAAAAAAAAAAAA", Problem.SECRET_NOT_BASE32),
        ("", Problem.KEY_TOO_SHORT),
        ("A" * 14, Problem.SECRET_NOT_BASE32),
        ("A" * 15, Problem.KEY_TOO_SHORT),
        ("A" * 208, Problem.KEY_TOO_LONG),
        ("A" * 1_000_000, Problem.KEY_TOO_LONG),
    ],
)
def test_what_is_no_secret_is_told_why(text: str, problem: Problem) -> None:
    assert otpauth.parse_secret(text) == problem


@pytest.mark.parametrize("length", [10, 20, 128])
def test_keys_of_ten_bytes_to_a_hash_block_are_read(length: int) -> None:
    key = bytes(length)

    assert otpauth.parse_secret(otpauth.encode_secret(key)) == key


@pytest.mark.parametrize(
    "length, problem", [(9, Problem.KEY_TOO_SHORT), (129, Problem.KEY_TOO_LONG)]
)
def test_shorter_and_longer_keys_are_refused(length: int, problem: Problem) -> None:
    assert otpauth.parse_secret(otpauth.encode_secret(bytes(length))) == problem


def test_the_secrets_of_the_tutorial_are_read() -> None:
    """`pyotp.random_base32()` gives 32 letters now, 20 bytes; it gave 16 once, 10 bytes."""
    now, once = pyotp.random_base32(), pyotp.random_base32()[:16]

    lengths = [len(key) for key in map(otpauth.parse_secret, (now, once)) if isinstance(key, bytes)]

    assert lengths == [20, 10]


def test_a_key_is_not_in_its_repr() -> None:
    parsed = otpauth.parse_uri(URI)

    assert repr(KEY) not in repr(parsed)
    assert SECRET not in repr(parsed)


def test_the_qr_code_passes_a_strict_csp() -> None:
    svg = ET.fromstring(otpauth.qr_svg(URI))

    names = {name for element in svg.iter() for name in element.attrib}
    tags = {element.tag for element in svg.iter()}
    assert names <= {"viewBox", "transform", "fill", "stroke", "d"}
    assert tags == {"svg", "g", "path"}


def test_the_qr_code_keeps_its_white_ground_and_quiet_zone() -> None:
    """ISO/IEC 18004 asks for four modules of quiet zone; scanners want dark on light."""
    svg = ET.fromstring(otpauth.qr_svg(URI))

    ground, modules = svg.iter("path")
    size = int(svg.attrib["viewBox"].split()[2]) // 4
    assert (ground.attrib["fill"], modules.attrib["stroke"]) == ("#fff", "#000")
    assert ground.attrib["d"] == f"M0 0h{size}v{size}h-{size}z"
    assert modules.attrib["d"].startswith("M4 4.5h7")


def test_the_terminal_shows_two_rows_of_modules_in_a_line() -> None:
    lines = otpauth.qr_terminal(URI).rstrip().splitlines()

    size = int(ET.fromstring(otpauth.qr_svg(URI)).attrib["viewBox"].split()[2]) // 4
    assert {len(line) for line in lines} == {size}
    assert len(lines) == (size + 1) // 2
    assert set("".join(lines)) == set(" ▀▄█")
