"""The ``otpauth`` URI by which a key travels to an authenticator app, and its QR code.

The format is Google Authenticator's "Key URI Format", which every app reads.
"""

import base64
import binascii
import io
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from twinlock.factors.digits import MAX_DIGITS, MIN_DIGITS
from twinlock.factors.totp.rfc6238 import DEFAULTS, Algorithm, Params

if TYPE_CHECKING:
    import segno

MIN_KEY_BYTES: Final = 10
"""What `parse_uri` and `parse_secret` accept. RFC 4226 section 4, R6 demands 16 bytes, and our
own keys have 20; but older generators made keys of 80 bits, and an import must not lock out
who has one in the app already."""
MAX_KEY_BYTES: Final = 128
"""The block of SHA-512: longer keys are hashed before use, so none is longer for a reason."""
MIN_PERIOD: Final = timedelta(seconds=15)
MAX_PERIOD: Final = timedelta(seconds=120)
"""A code is accepted for three periods: six minutes are the most that we allow."""

_SCHEME: Final = "otpauth://"
_MAX_URI_LENGTH: Final = 4096
_MAX_PARAMETERS: Final = 32
_ISSUER_BYTES: Final = 64
_ACCOUNT_NAME_BYTES: Final = 254
"""Longer names are cut, so that the QR code stays one that a phone can read."""
_ALGORITHMS: Final[dict[str, Algorithm]] = {
    "SHA1": "sha1",
    "SHA256": "sha256",
    "SHA512": "sha512",
}


class Problem(StrEnum):
    """Why a URI or a secret cannot be imported."""

    NOT_OTPAUTH = "not_otpauth"
    NOT_TOTP = "not_totp"
    TOO_LONG = "too_long"
    REPEATED_PARAMETER = "repeated_parameter"
    SECRET_MISSING = "secret_missing"
    SECRET_NOT_BASE32 = "secret_not_base32"
    KEY_TOO_SHORT = "key_too_short"
    KEY_TOO_LONG = "key_too_long"
    ALGORITHM_NOT_SUPPORTED = "algorithm_not_supported"
    DIGITS_NOT_SUPPORTED = "digits_not_supported"
    PERIOD_NOT_SUPPORTED = "period_not_supported"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an ``otpauth`` URI says. The issuer is empty where it names none."""

    key: bytes = field(repr=False)
    params: Params
    issuer: str
    account_name: str


def provisioning_uri(
    key: bytes, *, issuer: str, account_name: str, params: Params = DEFAULTS
) -> str:
    """Return the URI that makes an authenticator app show this key's codes.

    A space is ``%20`` and never ``+``, which apps would show. Parameters are named only where
    they differ from what every app assumes: the QR code gets coarser and easier to read.
    """
    issuer = _shown(issuer, _ISSUER_BYTES)
    label = f"{quote(issuer, safe='')}:{quote(_shown(account_name, _ACCOUNT_NAME_BYTES), safe='@')}"
    query = {"secret": encode_secret(key), "issuer": issuer}
    if params.algorithm != DEFAULTS.algorithm:
        query["algorithm"] = params.algorithm.upper()
    if params.digits != DEFAULTS.digits:
        query["digits"] = str(params.digits)
    if params.period != DEFAULTS.period:
        query["period"] = str(params.period // timedelta(seconds=1))
    return f"{_SCHEME}totp/{label}?{urlencode(query, quote_via=quote)}"


def parse_uri(text: str) -> Parsed | Problem:
    """Return what an ``otpauth`` URI says, or why it cannot be imported.

    Keys of 10 bytes or more are accepted (see `MIN_KEY_BYTES`), periods of 15 to 120 seconds.
    """
    uri = text.strip()
    if len(text) > _MAX_URI_LENGTH:
        return Problem.TOO_LONG
    if uri[: len(_SCHEME)].lower() != _SCHEME:
        return Problem.NOT_OTPAUTH
    address, _, query = uri[len(_SCHEME) :].partition("#")[0].partition("?")
    kind, _, label = address.partition("/")
    if kind.lower() != "totp":
        return Problem.NOT_TOTP
    found = _parameters(query)
    if isinstance(found, Problem):
        return found
    key = parse_secret(found["secret"]) if found.get("secret") else Problem.SECRET_MISSING
    if isinstance(key, Problem):
        return key
    params = _params(found)
    if isinstance(params, Problem):
        return params
    prefix, colon, name = unquote(label).partition(":")
    issuer = found.get("issuer") or (prefix if colon else "")
    return Parsed(key, params, _printable(issuer), _printable(name if colon else prefix))


def parse_secret(text: str) -> bytes | Problem:
    """Return the key that base32 spells, or why it spells none.

    Lower case, spaces, hyphens and missing padding are accepted, as apps show secrets.
    """
    if len(text) > _MAX_URI_LENGTH:
        return Problem.KEY_TOO_LONG
    letters = "".join(text.split()).replace("-", "").rstrip("=")
    if not letters.isascii():
        return Problem.SECRET_NOT_BASE32
    try:
        key = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
    except binascii.Error:
        return Problem.SECRET_NOT_BASE32
    if len(key) < MIN_KEY_BYTES:
        return Problem.KEY_TOO_SHORT
    return key if len(key) <= MAX_KEY_BYTES else Problem.KEY_TOO_LONG


def encode_secret(key: bytes) -> str:
    """Return a key in base32 without padding, for typing it into an app."""
    return base64.b32encode(key).decode("ascii").rstrip("=")


def qr_svg(uri: str) -> str:
    """Return the QR code of *uri* as an ``<svg>`` element.

    It has no style of its own and passes a strict CSP. Its ground and quiet zone are white in
    the dark colour scheme too, because scanners want dark on light.
    """
    return _qr_code(uri).svg_inline(
        scale=4, svgclass=None, lineclass=None, omitsize=True, light="#fff"
    )


def qr_terminal(uri: str) -> str:
    """Return the QR code of *uri* as lines of half blocks, for a light-on-dark terminal."""
    out = io.StringIO()
    _qr_code(uri).terminal(out, compact=True)
    return out.getvalue()


def _qr_code(uri: str) -> "segno.QRCode":
    import segno

    return segno.make_qr(uri, error="m")


def _shown(text: str, max_bytes: int) -> str:
    """Return *text* fit for a label: no colon, which parts its halves, and not too long."""
    raw = text.replace(":", " ").encode("utf-8", "replace")
    return raw[:max_bytes].decode("utf-8", "ignore")


def _printable(text: str) -> str:
    """Return *text* without what no database takes: NUL, lone surrogates, control characters."""
    return "".join(character for character in text if character.isprintable()).strip()


def _parameters(query: str) -> dict[str, str] | Problem:
    """Return the parameters by their names in lower case; unknown ones are kept and ignored."""
    if query.count("&") >= _MAX_PARAMETERS:
        return Problem.TOO_LONG
    pairs = [(name.lower(), value) for name, value in parse_qsl(query, keep_blank_values=True)]
    found = dict(pairs)
    return found if len(found) == len(pairs) else Problem.REPEATED_PARAMETER


def _params(found: dict[str, str]) -> Params | Problem:
    algorithm = _ALGORITHMS.get(found.get("algorithm", "SHA1").upper().replace("-", ""))
    if algorithm is None:
        return Problem.ALGORITHM_NOT_SUPPORTED
    digits = _number(found.get("digits", "6"))
    if not MIN_DIGITS <= digits <= MAX_DIGITS:
        return Problem.DIGITS_NOT_SUPPORTED
    period = timedelta(seconds=_number(found.get("period", "30")))
    if not MIN_PERIOD <= period <= MAX_PERIOD:
        return Problem.PERIOD_NOT_SUPPORTED
    return Params(digits=digits, period=period, algorithm=algorithm)


def _number(text: str) -> int:
    """Return a number of at most four ASCII digits; -1 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else -1
