"""Access tokens in the shape of RFC 9068: signed, and verified claim by claim."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from twinlock.core.proof import Acr, SubjectId
from twinlock.core.secrets import from_base64url, to_base64url
from twinlock.tokens.signing_keys import ALGORITHM, SigningKey

MAX_TOKEN_BYTES: Final = 8192
"""A longer token is refused unread."""

_TYPE: Final = "at+jwt"
_TYPES: Final = frozenset({_TYPE, f"application/{_TYPE}"})
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that a datetime holds
_ECDSA: Final = ec.ECDSA(SHA256())
_NUMBER_BYTES: Final = 32
_CURVE: Final = "P-256"
_USUAL_HEADER: Final = 256
_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says (RFC 9068 section 2.2; ``sid`` as in OpenID Connect).

    Times are whole seconds: signing drops fractions.

    Attributes:
        audience: The resource server it is for.
        jti: The token's own id.
        session_id: The ``sid``.
        auth_time: The moment of the proof that earned the ``acr``.
    """

    issuer: str
    subject: SubjectId
    client_id: str
    audience: str
    issued_at: datetime
    expires_at: datetime
    jti: str
    session_id: str
    scope: tuple[str, ...]
    roles: tuple[str, ...]
    acr: Acr
    amr: tuple[str, ...]
    auth_time: datetime


def sign(claims: AccessClaims, key: SigningKey) -> str:
    """Return *claims* as a JWT signed with *key*.

    Raises:
        ValueError: The claims make a token longer than `MAX_TOKEN_BYTES`, which everybody
            would refuse: an account has too many or too long roles or scopes.
    """
    payload = {
        "iss": claims.issuer,
        "sub": claims.subject,
        "client_id": claims.client_id,
        "aud": claims.audience,
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.expires_at.timestamp()),
        "jti": claims.jti,
        "sid": claims.session_id,
        "scope": " ".join(claims.scope),
        "roles": claims.roles,
        "acr": claims.acr,
        "amr": claims.amr,
        "auth_time": int(claims.auth_time.timestamp()),
    }
    words = f"{_header(key.kid)}.{to_base64url(_encode(payload).encode())}"
    token = f"{words}.{to_base64url(_signature(words, key))}"
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError("the claims do not fit into an access token")
    return token


@functools.lru_cache(maxsize=16)
def _header(kid: str) -> str:
    return to_base64url(_encode({"typ": _TYPE, "alg": ALGORITHM, "kid": kid}).encode())


def _signature(words: str, key: SigningKey) -> bytes:
    """Return the ES256 signature: two numbers of 32 bytes (RFC 7518 section 3.4)."""
    private = key.key.private_key
    if private is None:
        raise TypeError("only a private key signs")
    r, s = decode_dss_signature(private.sign(words.encode("ascii"), _ECDSA))
    return r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")


def claimed_kid(token: str) -> str | None:
    """Return the key id that *token* names, or None if its header is not one of ours.

    Nothing is verified by this; it tells whether newer keys may be worth loading.

    The header holds ``alg``, ``kid`` and ``typ`` and nothing else, which refuses ``crit``,
    ``b64``, and every key that a token brings along (``jwk``, ``jku``, ``x5c``, ``x5u``)
    without a list of them. ``typ`` keeps other JWTs of ours out (RFC 9068 section 4,
    RFC 8725 section 3.11); media types are case-insensitive and may leave out
    ``application/`` (RFC 7515 section 4.1.9).
    """
    if len(token) > MAX_TOKEN_BYTES:
        return None
    header = token.partition(".")[0]
    return (_kid if len(header) <= _USUAL_HEADER else _kid.__wrapped__)(header)


@functools.lru_cache(maxsize=64)
def _kid(text: str) -> str | None:
    """Return the same of a header alone, which all tokens of one key have in common."""
    try:
        header = _json_object(from_base64url(text))
    except (ValueError, RecursionError):
        return None
    if header.keys() != _HEADER or header["alg"] != ALGORITHM:
        return None
    kid, media_type = header["kid"], header["typ"]
    if not isinstance(kid, str) or not isinstance(media_type, str):
        return None
    return kid if media_type.lower() in _TYPES else None


def verify(
    token: str,
    keys: Mapping[str, ECKey],
    *,
    issuer: str,
    audience: str,
    now: datetime,
    leeway: timedelta = timedelta(0),
    ahead: timedelta = timedelta(0),
) -> AccessClaims | None:
    """Return what *token* says if it holds in every point, else None; never raises.

    Another valid signature over the same words can be computed by whoever holds the token
    (ECDSA's high ``s``). It says nothing else, so it is accepted: never tell tokens apart,
    or revoke them, by their text.

    Args:
        token: Any text from outside.
        keys: Public keys by key id, each bound to ES256.
        issuer: The one ``iss`` to accept.
        audience: The value that ``aud`` must be or contain.
        now: The verifier's time.
        leeway: How far other clocks may be off; nothing on the server that signed.
        ahead: How far ahead of ours the clock that signed may be, where several machines sign.
            It makes a token begin earlier, and none end later.
    """
    kid = claimed_kid(token)
    key = keys.get(kid) if kid is not None else None
    public = _public(key) if isinstance(key, ECKey) else None
    if public is None:
        return None
    try:
        members = _json_object(_signed(token, public))
        claims = _claims(members, issuer=issuer, audience=audience)
        starts_at = _moment(members["nbf"]) if "nbf" in members else claims.issued_at
    except (InvalidSignature, ValueError, RecursionError):
        return None
    if claims.expires_at <= now - leeway:  # RFC 7519 section 4.1.4: "on or after" is too late
        return None
    return claims if max(starts_at, claims.issued_at) <= now + max(leeway, ahead) else None


def _public(key: ECKey) -> ec.EllipticCurvePublicKey | None:
    """Return what verifies with a key, or None if it is not one for ES256 and signatures."""
    # A key without an algorithm could be meant for any (RFC 8725 section 3.1).
    if key.alg != ALGORITHM or key.curve_name != _CURVE:
        return None
    try:
        key.check_use("sig")
        public: ec.EllipticCurvePublicKey = key.get_op_key("verify")
    except JoseError:
        return None
    return public


def _signed(token: str, public: ec.EllipticCurvePublicKey) -> bytes:
    """Return what a token in the compact form of JWS says, the signature of which holds.

    Raises:
        InvalidSignature: It does not.
        ValueError: Not three parts, or one in another spelling than its own.
    """
    words, _, signature = token.rpartition(".")
    header, _, payload = words.partition(".")
    numbers = from_base64url(signature)
    if len(numbers) != 2 * _NUMBER_BYTES or "." in payload or not header:
        raise ValueError("not a signed token")
    r, s = numbers[:_NUMBER_BYTES], numbers[_NUMBER_BYTES:]
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    public.verify(der, words.encode("ascii"), _ECDSA)
    return from_base64url(payload)


def _claims(members: dict[str, Any], *, issuer: str, audience: str) -> AccessClaims:
    """Return the claims, each there and of its own type (RFC 9068 section 2.2).

    Raises:
        ValueError: One is missing, of another type, or not what was expected.
    """
    if members.get("iss") != issuer:
        raise ValueError("iss")
    if members.get("aud") != audience and audience not in _texts(members.get("aud")):
        raise ValueError("aud")
    return AccessClaims(
        issuer=issuer,
        subject=SubjectId(_text(members.get("sub"))),
        client_id=_text(members.get("client_id")),
        audience=audience,
        issued_at=_moment(members.get("iat")),
        expires_at=_moment(members.get("exp")),
        jti=_text(members.get("jti")),
        session_id=_text(members.get("sid")),
        scope=_scope(members.get("scope")),
        roles=_texts(members.get("roles")),
        acr=Acr(_text(members.get("acr"))),
        amr=_texts(members.get("amr")),
        auth_time=_moment(members.get("auth_time")),
    )


def _text(value: object) -> str:
    """Return a text that can be stored, logged and sent on: no surrogates, no controls."""
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError("not a printable text")


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return _shared(tuple(map(_text, value)))
    raise ValueError("not a list")


def _scope(value: object) -> tuple[str, ...]:
    """Return the scope, which may be empty (RFC 8693 section 4.2: separated by one space)."""
    return () if value == "" else _shared(tuple(map(_text, _text(value).split(" "))))


def _moment(value: object) -> datetime:
    """Return a NumericDate in whole seconds; True is an int to Python, and no moment."""
    if type(value) is int and 0 <= value <= _LAST_SECOND:
        return datetime.fromtimestamp(value, UTC)
    raise ValueError("not a moment")


@functools.lru_cache(maxsize=1024)
def _shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same tuple for equal ones: tens of thousands of claims stay in memory."""
    return texts


def _json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* spells, in UTF-8 and without repeated members.

    Raises:
        ValueError: It is none, or one that other parsers would read otherwise.
        RecursionError: It is nested too deeply.
    """
    value = _decode(data.decode())
    if isinstance(value, dict):
        return value
    raise ValueError("not an object")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_without_repeats, parse_constant=_refuse_constant
).decode
