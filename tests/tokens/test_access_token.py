"""Only what this server signed, for this audience, now, and in full, is an access token."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, RSAKey

from twinlock.core.proof import Acr, SubjectId
from twinlock.tokens.access_token import (
    MAX_TOKEN_BYTES,
    AccessClaims,
    claimed_kid,
    sign,
    verify,
)
from twinlock.tokens.signing_keys import SigningKey

ISSUER = "https://auth.example.com"
AUDIENCE = "https://api.example.com"
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
T = int(NOW.timestamp())
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PRIVATE = ec.derive_private_key(0xA11CE, ec.SECP256R1())
OTHER_PRIVATE = ec.derive_private_key(0xB0B, ec.SECP256R1())
KID, OTHER_KID = "a" * 32, "b" * 32


def jose_key(raw: Any, kid: str, alg: str = "ES256") -> ECKey:
    return ECKey.import_key(raw, {"kid": kid, "use": "sig", "alg": alg})


KEY = SigningKey(KID, jose_key(PRIVATE, KID))
KEYS = {
    KID: jose_key(PRIVATE.public_key(), KID),
    OTHER_KID: jose_key(OTHER_PRIVATE.public_key(), OTHER_KID),
}
CLAIMS = AccessClaims(
    issuer=ISSUER,
    subject=SubjectId("5" * 32),
    client_id="twinlock",
    audience=AUDIENCE,
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
    jti="1" * 32,
    session_id="2" * 32,
    scope=("profile", "orders:read"),
    roles=("admin", "Größe"),
    acr=Acr.AAL2,
    amr=("pwd", "otp", "mfa"),
    auth_time=NOW - timedelta(minutes=3),
)
HEADER = {"alg": "ES256", "kid": KID, "typ": "at+jwt"}
PAYLOAD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "5" * 32,
    "client_id": "twinlock",
    "aud": AUDIENCE,
    "iat": T,
    "exp": T + 600,
    "jti": "1" * 32,
    "sid": "2" * 32,
    "scope": "profile orders:read",
    "roles": ["admin", "Größe"],
    "acr": "aal2",
    "amr": ["pwd", "otp", "mfa"],
    "auth_time": T - 180,
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(content: object) -> str:
    return b64(content if isinstance(content, bytes) else json.dumps(content).encode())


def raw_signature(signed: str, private: ec.EllipticCurvePrivateKey = PRIVATE) -> bytes:
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def forge(header: object = HEADER, payload: object = PAYLOAD) -> str:
    """A token with any header and any payload, under a genuine signature of the server's key."""
    signed = f"{segment(header)}.{segment(payload)}"
    return f"{signed}.{b64(raw_signature(signed))}"


def accept(token: str, *, now: datetime = NOW, leeway: timedelta = timedelta(0)) -> Any:
    return verify(token, KEYS, issuer=ISSUER, audience=AUDIENCE, now=now, leeway=leeway)


TOKEN = sign(CLAIMS, KEY)
SIGNED, SIGNATURE = TOKEN.rpartition(".")[::2]
HEADER_SEGMENT, PAYLOAD_SEGMENT = SIGNED.split(".")


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


# --- what is accepted -----------------------------------------------------------------------


def test_what_was_signed_is_what_is_verified() -> None:
    assert accept(TOKEN) == CLAIMS


def test_a_token_is_an_rfc_9068_jwt() -> None:
    """RFC 9068 section 2: read here without our own code, and checked with the bare key."""
    header, payload = (
        json.loads(base64.urlsafe_b64decode(part + "=="))
        for part in (HEADER_SEGMENT, PAYLOAD_SEGMENT)
    )
    signature = base64.urlsafe_b64decode(SIGNATURE + "==")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")

    PRIVATE.public_key().verify(encode_dss_signature(r, s), SIGNED.encode(), ec.ECDSA(SHA256()))
    assert header == HEADER
    assert payload == PAYLOAD


def test_the_forger_of_these_tests_can_make_a_genuine_token() -> None:
    """Otherwise every refusal below could have another reason than the one it names."""
    assert accept(forge()) == CLAIMS


@pytest.mark.parametrize("kid", [KID, OTHER_KID])
def test_each_key_verifies_its_own(kid: str) -> None:
    private = {KID: PRIVATE, OTHER_KID: OTHER_PRIVATE}[kid]

    token = sign(CLAIMS, SigningKey(kid, jose_key(private, kid)))

    assert claimed_kid(token) == kid
    assert accept(token) == CLAIMS


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_both_forms_of_the_media_type_are_known(typ: str) -> None:
    """RFC 9068 section 4, RFC 7515 section 4.1.9."""
    assert accept(forge(HEADER | {"typ": typ})) == CLAIMS


def test_fractions_of_a_second_are_dropped() -> None:
    late = timedelta(microseconds=999_999)
    claims = replace(
        CLAIMS,
        issued_at=CLAIMS.issued_at + late,
        expires_at=CLAIMS.expires_at + late,
        auth_time=CLAIMS.auth_time + late,
    )

    assert accept(sign(claims, KEY), now=NOW + late) == CLAIMS


def test_the_zone_of_a_moment_does_not_matter() -> None:
    east = timezone(timedelta(hours=9))
    claims = replace(CLAIMS, issued_at=NOW.astimezone(east))

    assert accept(sign(claims, KEY), now=NOW.astimezone(east)) == CLAIMS


def test_scope_roles_and_amr_may_be_empty() -> None:
    claims = replace(CLAIMS, scope=(), roles=(), amr=())

    assert accept(sign(claims, KEY)) == claims


@pytest.mark.parametrize("aud", [[AUDIENCE], ["https://else.example", AUDIENCE]])
def test_one_of_several_audiences_is_enough(aud: list[str]) -> None:
    """RFC 7519 section 4.1.3."""
    assert accept(forge(payload=PAYLOAD | {"aud": aud})) == CLAIMS


def test_unknown_claims_are_passed_over() -> None:
    """RFC 7519 section 4: other claims must be ignored."""
    assert accept(forge(payload=PAYLOAD | {"cnf": {"jkt": "x"}, "score": 1.5})) == CLAIMS


def test_the_twin_of_a_signature_says_the_same() -> None:
    """ECDSA: (r, n − s) is as valid as (r, s). So no text of a token may identify it."""
    signature = base64.urlsafe_b64decode(SIGNATURE + "==")
    s = int.from_bytes(signature[32:], "big")
    twin = f"{SIGNED}.{b64(signature[:32] + (P256_ORDER - s).to_bytes(32, 'big'))}"

    assert twin != TOKEN
    assert accept(twin) == CLAIMS


# --- time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("nbf", [None, T])
@pytest.mark.parametrize(
    "offset, leeway, is_accepted",
    [
        (timedelta(0), 0, True),
        (-TICK, 0, False),
        (timedelta(seconds=600) - TICK, 0, True),
        (timedelta(seconds=600), 0, False),
        (-SECOND, 1, True),
        (-SECOND - TICK, 1, False),
        (timedelta(seconds=601) - TICK, 1, True),
        (timedelta(seconds=601), 1, False),
    ],
)
def test_a_token_lives_from_its_issue_to_the_second_of_its_expiry(
    nbf: int | None, offset: timedelta, leeway: int, is_accepted: bool
) -> None:
    """RFC 7519 section 4.1.4: on the expiration time it must not be accepted any more."""
    payload = PAYLOAD if nbf is None else PAYLOAD | {"nbf": nbf}

    claims = accept(forge(payload=payload), now=NOW + offset, leeway=leeway * SECOND)

    assert (claims is not None) is is_accepted


@pytest.mark.parametrize("nbf, is_accepted", [(T - 1, True), (T, True), (T + 1, False)])
def test_a_token_is_not_good_before_its_time(nbf: int, is_accepted: bool) -> None:
    """RFC 7519 section 4.1.5."""
    assert (accept(forge(payload=PAYLOAD | {"nbf": nbf})) is not None) is is_accepted


def test_a_token_from_the_future_is_refused_whatever_its_nbf_says() -> None:
    assert accept(forge(payload=PAYLOAD | {"iat": T + 1, "nbf": T - 1})) is None


def test_the_last_second_of_the_calendar_is_a_moment() -> None:
    latest = 253_402_300_799

    claims = accept(forge(payload=PAYLOAD | {"exp": latest}), leeway=timedelta(minutes=1))

    assert claims.expires_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


# --- claims ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_no_claim_may_be_missing(name: str) -> None:
    """RFC 9068 section 2.2, and what the contract adds to it."""
    assert accept(forge(payload=without(PAYLOAD, name))) is None


NO_TEXT: list[Any] = [None, True, 7, 1.5, "", "\ud800", "a\0", "line\n", ["x"], {"x": 1}, [], {}]
NO_TEXTS: list[Any] = [
    None,
    True,
    7,
    "admin",
    {},
    [None],
    [7],
    [""],
    [["a"]],
    ["\ud800"],
    ["a", True],
]
NO_MOMENT: list[Any] = [None, True, str(T), float(T), -1, 253_402_300_800, 10**30, [T], {}]
WRONG: list[tuple[str, Any]] = [
    *(("iss", value) for value in [*NO_TEXT, ISSUER + "/", ISSUER.upper(), [ISSUER]]),
    *(("aud", value) for value in [*NO_TEXT, AUDIENCE + "/", "*", [AUDIENCE, 7], {AUDIENCE: 1}]),
    *((name, value) for name in ("sub", "client_id", "jti", "sid") for value in NO_TEXT),
    *((name, value) for name in ("roles", "amr") for value in NO_TEXTS),
    *(("scope", value) for value in [v for v in NO_TEXT if v != ""]),
    *(("scope", value) for value in [" ", "a  b", " a", "a ", "a\tb", ["a", "b"]]),
    *(("acr", value) for value in [*NO_TEXT, "aal3", "AAL2", "aal2 ", "0"]),
    *((name, value) for name in ("iat", "exp", "auth_time", "nbf") for value in NO_MOMENT),
]


@pytest.mark.parametrize("name, value", WRONG, ids=repr)
def test_every_claim_is_of_its_own_type(name: str, value: object) -> None:
    assert accept(forge(payload=PAYLOAD | {name: value})) is None


def test_a_token_of_another_issuer_or_audience_is_refused() -> None:
    others = {"issuer": ISSUER + ".evil", "audience": "https://else.example"}
    for name, value in others.items():
        assert accept(sign(replace(CLAIMS, **{name: value}), KEY)) is None, name  # type: ignore[arg-type]


# --- header ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "", "at+jwt ", "application/", "dpop+jwt", "logout+jwt", None, 7, ["at+jwt"]],
)
def test_another_kind_of_jwt_is_no_access_token(typ: object) -> None:
    """RFC 8725 section 3.11: an ID token, say, of the same issuer and key."""
    assert accept(forge(HEADER | {"typ": typ})) is None


@pytest.mark.parametrize("name", sorted(HEADER))
def test_no_header_member_may_be_missing(name: str) -> None:
    assert accept(forge(without(HEADER, name))) is None


@pytest.mark.parametrize(
    "kid",
    [
        OTHER_KID,
        "c" * 32,
        "",
        None,
        0,
        [KID],
        {"kid": KID},
        "../../dev/null",
        KID.upper(),
        "' or 1",
    ],
    ids=repr,
)
def test_another_kid_is_another_key(kid: object) -> None:
    assert accept(forge(HEADER | {"kid": kid})) is None


JWK = {"kty": "EC", "crv": "P-256", **{n: str(KEYS[KID][n]) for n in ("x", "y")}}


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": JWK},
        {"jku": "https://auth.example.com/.well-known/jwks.json"},
        {"x5u": "https://auth.example.com/cert"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA"},
        {"crit": []},
        {"crit": ["exp"], "exp": T},
        {"crit": ["b64"], "b64": False},
        {"crit": 7},
        {"b64": True},
        {"b64": False},
        {"cty": "JWT"},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
        {"iss": ISSUER},
        {"unknown": 1},
    ],
    ids=repr,
)
def test_the_header_brings_nothing_along(extra: dict[str, object]) -> None:
    """RFC 7515 section 4.1.11 (crit), RFC 7797 (b64), RFC 8725 section 3.10 (keys of strangers)."""
    assert accept(forge(HEADER | extra)) is None


def pem() -> bytes:
    return PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def der() -> bytes:
    return PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def jwk() -> bytes:
    return json.dumps(KEYS[KID].as_dict(private=False)).encode()


def point() -> bytes:
    return PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("secret", [pem, der, jwk, point, lambda: b""])
@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_the_public_key_is_no_secret_to_mac_with(alg: str, secret: Callable[[], bytes]) -> None:
    """RFC 8725 section 2.1: the attack that mixes up key types."""
    signed = f"{segment(HEADER | {'alg': alg})}.{segment(PAYLOAD)}"
    mac = hmac.digest(secret(), signed.encode(), hashlib.sha256)

    assert accept(f"{signed}.{b64(mac)}") is None


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 0, ["ES256"], "es256"])
@pytest.mark.parametrize("signature", ["", SIGNATURE, "AA"], ids=["none", "genuine", "short"])
def test_no_algorithm_is_no_signature(alg: object, signature: str) -> None:
    """RFC 8725 section 2.1."""
    signed = f"{segment(HEADER | {'alg': alg})}.{segment(PAYLOAD)}"

    assert accept(f"{signed}.{signature}") is None


@pytest.mark.parametrize(
    "alg", ["ES256K", "ES384", "RS256", "PS256", "EdDSA", "Ed25519", "ECDH-ES"]
)
def test_one_algorithm_is_spoken(alg: str) -> None:
    assert accept(forge(HEADER | {"alg": alg})) is None


def test_a_key_of_another_kind_verifies_nothing() -> None:
    """Whatever lies under a key id by mistake: an unbound key, other kinds, another curve."""
    p384 = ec.derive_private_key(7, ec.SECP384R1())
    rsa_key = rsa.generate_private_key(65537, 2048)
    mistaken: list[Any] = [
        ECKey.import_key(PRIVATE.public_key(), {"kid": KID}),
        jose_key(PRIVATE.public_key(), KID, alg="ES384"),
        ECKey.import_key(PRIVATE.public_key(), {"kid": KID, "use": "enc", "alg": "ES256"}),
        jose_key(p384.public_key(), KID),
        RSAKey.import_key(rsa_key.public_key(), {"kid": KID, "alg": "ES256"}),
        OctKey.import_key(b"k" * 32, {"kid": KID, "alg": "ES256"}),
    ]
    for key in mistaken:
        claims = verify(TOKEN, {KID: key}, issuer=ISSUER, audience=AUDIENCE, now=NOW)
        assert claims is None, key


# --- signature and form ---------------------------------------------------------------------


def signed_by(private: ec.EllipticCurvePrivateKey) -> str:
    return b64(raw_signature(SIGNED, private))


def parts_of(signature: str) -> tuple[bytes, bytes]:
    data = base64.urlsafe_b64decode(signature + "==")
    return data[:32], data[32:]


R, S = parts_of(SIGNATURE)
ZERO = bytes(32)
ORDER = P256_ORDER.to_bytes(32, "big")


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("", id="none"),
        pytest.param(signed_by(OTHER_PRIVATE), id="other-key"),
        pytest.param(b64(raw_signature(SIGNED + "x")), id="other-text"),
        pytest.param(b64(ZERO + ZERO), id="zero"),  # CVE-2022-21449
        pytest.param(b64(ZERO + S), id="r-zero"),
        pytest.param(b64(R + ZERO), id="s-zero"),
        pytest.param(b64(ORDER + ORDER), id="order"),
        pytest.param(b64(R + ORDER), id="s-order"),
        pytest.param(b64(b"\xff" * 64), id="beyond-the-order"),
        pytest.param(b64(S + R), id="swapped"),
        pytest.param(b64(R + S + b"\0"), id="longer"),
        pytest.param(b64(b"\0" + R + S), id="shifted"),
        pytest.param(b64(R + S[:-1]), id="shorter"),
        pytest.param(b64(R), id="half"),
        pytest.param(b64(b"\0" * 16 + R + b"\0" * 16 + S), id="padded-as-for-P-384"),
        pytest.param(b64(PRIVATE.sign(SIGNED.encode(), ec.ECDSA(SHA256()))), id="DER"),
        pytest.param(SIGNATURE + "=", id="padding"),
        pytest.param(SIGNATURE + "==", id="full-padding"),
        pytest.param(SIGNATURE + "\n", id="newline"),
        pytest.param(SIGNATURE + " ", id="space"),
        pytest.param(SIGNATURE[:8] + " " + SIGNATURE[8:], id="space-inside"),
        pytest.param(SIGNATURE[:8] + "!" + SIGNATURE[8:], id="other-alphabet-inside"),
        pytest.param(SIGNATURE + "A", id="one-character-more"),
        pytest.param(SIGNATURE[:-1], id="one-character-less"),
        pytest.param(SIGNATURE + ".", id="empty-fourth-segment"),
        pytest.param(SIGNATURE + "." + SIGNATURE, id="fourth-segment"),
        pytest.param(SIGNATURE + "\ud800", id="surrogate"),
    ],
)
def test_another_signature_is_no_signature(signature: str) -> None:
    assert accept(f"{SIGNED}.{signature}") is None


def test_every_bit_of_the_signature_counts() -> None:
    signature = R + S
    for place in range(0, 512, 7):
        bits = int.from_bytes(signature, "big") ^ (1 << place)
        assert accept(f"{SIGNED}.{b64(bits.to_bytes(64, 'big'))}") is None, place


def test_the_last_character_has_one_spelling() -> None:
    """Unused bits of base64url must be zero, else one token has several texts."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for part in range(3):
        parts = TOKEN.split(".")
        if len(parts[part]) % 4:
            place = alphabet.index(parts[part][-1])
            parts[part] = parts[part][:-1] + alphabet[place | 1 if not place & 1 else place - 1]
            assert accept(".".join(parts)) is None


def test_what_was_signed_cannot_be_changed() -> None:
    changed = segment(PAYLOAD | {"acr": "phr"})

    assert accept(f"{HEADER_SEGMENT}.{changed}.{SIGNATURE}") is None
    assert accept(f"{segment(HEADER | {'typ': 'AT+JWT'})}.{PAYLOAD_SEGMENT}.{SIGNATURE}") is None


def test_an_encrypted_token_is_no_access_token() -> None:
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "kid": KID, "typ": "at+jwt"}

    assert accept(".".join([segment(header), "", "AAAA", "AAAA", "AAAA"])) is None
    assert accept(f"{HEADER_SEGMENT}..AAAA.AAAA.AAAA") is None


DEEP = b"[" * 5_000 + b"]" * 5_000
JSON_TEXT = json.dumps(PAYLOAD).encode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"alg kid typ"', id="text"),
        pytest.param(b"7", id="number"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"\xff\xfe", id="not-utf-8"),
        pytest.param(b"[" * 4_000, id="deep"),
        pytest.param(b'{"a":' * 1_000 + b"1" + b"}" * 1_000, id="deep-objects"),
    ],
)
def test_what_is_no_json_object_is_no_token(text: bytes) -> None:
    assert accept(forge(header=text)) is None
    assert accept(forge(payload=text)) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(JSON_TEXT[:-1] + b', "sub": "%s"}' % (b"6" * 32), id="claim-twice"),
        pytest.param(JSON_TEXT[:-1] + b', "x": {"a": 1, "a": 1}}', id="twice-inside"),
        pytest.param(JSON_TEXT[:-1] + b', "x": NaN}', id="nan"),
        pytest.param(JSON_TEXT[:-1] + b', "x": -Infinity}', id="infinity"),
        pytest.param(JSON_TEXT[:-1] + b', "x": ' + b"9" * 4_400 + b"}", id="huge-integer"),
        pytest.param(JSON_TEXT[:-1] + b', "x": ' + b"[" * 2_000 + b"]" * 2_000 + b"}", id="deep"),
        pytest.param(JSON_TEXT + b"{}", id="two-objects"),
        pytest.param(b"\xef\xbb\xbf" + JSON_TEXT, id="byte-order-mark"),
        pytest.param(JSON_TEXT.decode().encode("utf-16-le"), id="utf-16"),
        pytest.param(JSON_TEXT.replace(b"aal2", b"aal2\n"), id="control-character"),
        pytest.param(JSON_TEXT.replace(b"%d" % T, b"1e9", 1), id="exponent"),
    ],
)
def test_a_payload_that_others_could_read_otherwise_is_refused(text: bytes) -> None:
    """RFC 8725 section 2.6: one text, one meaning."""
    assert accept(forge(payload=text)) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"alg":"none","alg":"ES256","kid":"%s","typ":"at+jwt"}' % KID.encode(),
        b'{"alg":"ES256","kid":"%s","typ":"JWT","typ":"at+jwt"}' % KID.encode(),
        json.dumps(HEADER).encode("utf-16-le"),
        b"\xef\xbb\xbf" + json.dumps(HEADER).encode(),
    ],
)
def test_a_header_that_others_could_read_otherwise_is_refused(text: bytes) -> None:
    """RFC 7515 section 4: header names must be unique."""
    assert accept(forge(header=text)) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        " " + TOKEN,
        TOKEN + "\n",
        "Bearer " + TOKEN,
        TOKEN.upper(),
        TOKEN.replace(".", ". "),
        HEADER_SEGMENT + "=." + PAYLOAD_SEGMENT + "." + SIGNATURE,
        HEADER_SEGMENT + "." + PAYLOAD_SEGMENT + "=." + SIGNATURE,
        HEADER_SEGMENT + ".." + SIGNATURE,
        SIGNED,
        HEADER_SEGMENT,
        "\ud800." + PAYLOAD_SEGMENT + "." + SIGNATURE,
        "ä.ö.ü",
        "\0",
        "x" * 100_000,
        "." * 100_000,
        TOKEN + "x" * 100_000,
    ],
    ids=itertools.count(),
)
def test_garbage_is_refused(token: str) -> None:
    assert accept(token) is None


def token_of_length(length: int) -> str:
    """A genuine token of almost that length, and of exactly that one where base64 allows."""
    base = len(forge(payload=PAYLOAD | {"x": ""}))
    for padding in range((length - base) * 3 // 4 - 3, (length - base) * 3 // 4 + 4):
        token = forge(payload=PAYLOAD | {"x": "x" * padding})
        if len(token) == length:
            return token
    raise AssertionError(length)


def test_a_token_over_8_kib_is_refused_unread() -> None:
    longest = token_of_length(MAX_TOKEN_BYTES)
    longer = token_of_length(MAX_TOKEN_BYTES + 1)

    assert accept(longest) == CLAIMS
    assert accept(longer) is None
    assert claimed_kid(longer) is None


def test_claims_that_nobody_would_accept_are_not_signed() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        sign(replace(CLAIMS, roles=tuple(f"role-{n}" for n in range(2_000))), KEY)


@pytest.mark.parametrize(
    "token",
    [TOKEN, forge(HEADER | {"kid": "unknown"}), TOKEN + "tampered"],
    ids=["genuine", "unknown", "tampered"],
)
def test_a_key_id_is_read_without_verifying(token: str) -> None:
    assert claimed_kid(token) in (KID, "unknown")


@pytest.mark.parametrize("alg", ["none", "HS256", ""])
def test_no_key_is_looked_for_in_vain(alg: str) -> None:
    """A token that no key could make acceptable must not cause newer keys to be loaded."""
    assert claimed_kid(forge(HEADER | {"alg": alg})) is None


# --- anything at all ------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert accept(text) is None
    assert accept(f"{HEADER_SEGMENT}.{text}") is None
    assert accept(f"{SIGNED}.{text}") is None or text == SIGNATURE


@given(st.binary(), st.binary())
def test_no_bytes_raise(header: bytes, payload: bytes) -> None:
    assert accept(forge(header, payload)) is None
    assert accept(forge(HEADER, payload)) is None


@given(st.dictionaries(st.sampled_from([*sorted(HEADER), "crit", "b64"]), JSON_VALUES))
def test_no_header_raises(members: dict[str, object]) -> None:
    accepted = accept(forge(HEADER | members))

    assert accepted is None or all(HEADER.get(name) == value for name, value in members.items())


@given(st.dictionaries(st.sampled_from([*sorted(PAYLOAD), "nbf"]), JSON_VALUES, min_size=1))
def test_no_claim_raises(members: dict[str, object]) -> None:
    accepted = accept(forge(payload=PAYLOAD | members))

    assert accepted is None or isinstance(accepted, AccessClaims)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_no_changed_character_goes_unnoticed(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]

    assert accept(changed) is None or changed == TOKEN
