"""A signing key is sealed, opens only as it was made, and publishes its public half only."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from twinlock.core.errors import InstallationError, SealBrokenError
from twinlock.core.keyring import Keyring
from twinlock.tokens.signing_keys import (
    ReloadTurns,
    generate,
    open_key,
    open_key_set,
    verification_keys,
)

KEYRING = Keyring([b"n" * 32])
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
STORED = generate(KEYRING, now=NOW)
OTHER = replace(generate(KEYRING, now=NOW), active=False, signed_until=NOW)
# RFC 7517 appendix A.1: the elliptic curve key of the example.
RFC_7517_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "use": "enc",
    "kid": "1",
}


def sealed(der: bytes) -> bytes:
    return KEYRING.seal(der, table="signing_key", column="private_key", row=STORED.kid, account="")


def test_a_new_key_is_an_active_p256_key_of_its_own() -> None:
    der = KEYRING.open(
        STORED.private_key, table="signing_key", column="private_key", row=STORED.kid, account=""
    )
    private = load_der_private_key(der, password=None)

    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp256r1"
    assert (STORED.algorithm, STORED.active, STORED.created_at) == ("ES256", True, NOW)
    assert STORED.kid != OTHER.kid
    assert STORED.public_jwk != OTHER.public_jwk


def test_nothing_private_shows() -> None:
    """Neither in what is stored openly, nor in what is published, nor in a repr."""
    keys = open_key_set([STORED, OTHER], KEYRING)
    private = keys.active.key.as_dict(private=True)["d"]
    assert isinstance(private, str)

    shown = [STORED.public_jwk, json.dumps(keys.jwks()), repr(keys.active), repr(STORED)]

    assert not [text for text in shown if private in text or '"d"' in text]
    assert repr(STORED.private_key) not in repr(STORED)


def test_the_published_set_holds_each_public_key_once() -> None:
    """RFC 7517 section 5, RFC 7518 section 6.2.1."""
    keys = open_key_set([OTHER, STORED], KEYRING)

    published = keys.jwks()["keys"]

    assert [set(key) for key in published] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}] * 2
    assert [key["kid"] for key in published] == [STORED.kid, OTHER.kid]
    assert {(key["kty"], key["crv"], key["use"], key["alg"]) for key in published} == {
        ("EC", "P-256", "sig", "ES256")
    }
    assert published[0] == json.loads(STORED.public_jwk)


def test_verification_holds_no_private_key() -> None:
    keys = open_key_set([STORED, OTHER], KEYRING)

    assert [key.is_private for key in keys.verification.values()] == [False, False]


def test_a_key_set_needs_a_key_that_signs() -> None:
    with pytest.raises(InstallationError):
        open_key_set([OTHER], KEYRING)
    with pytest.raises(InstallationError):
        open_key_set([], KEYRING)


def test_a_sealed_key_opens_in_its_own_row_only() -> None:
    moved = replace(OTHER, private_key=STORED.private_key, public_jwk=STORED.public_jwk)

    with pytest.raises(SealBrokenError):
        open_key(moved, KEYRING)


@pytest.mark.parametrize(
    "public_jwk",
    [
        "",
        "{}",
        OTHER.public_jwk,
        STORED.public_jwk + " ",
        STORED.public_jwk.replace("ES256", "none"),
        STORED.public_jwk.replace(STORED.kid, OTHER.kid),
    ],
    ids=["empty", "no-members", "other", "spaced", "other-algorithm", "other-kid"],
)
def test_another_public_key_beside_the_private_one_is_an_alarm(public_jwk: str) -> None:
    with pytest.raises(SealBrokenError):
        open_key(replace(STORED, public_jwk=public_jwk), KEYRING)


def test_a_key_of_another_kind_does_not_open_even_if_sealed() -> None:
    for private in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

        with pytest.raises(SealBrokenError):
            open_key(replace(STORED, private_key=sealed(der)), KEYRING)


def test_a_published_set_can_be_read_back() -> None:
    keys = open_key_set([STORED, OTHER], KEYRING)

    read = verification_keys(json.loads(json.dumps(keys.jwks())))

    assert {kid: key.as_dict() for kid, key in read.items()} == {
        kid: key.as_dict() for kid, key in keys.verification.items()
    }
    assert {key.alg for key in read.values()} == {"ES256"}


P256 = {name: RFC_7517_KEY[name] for name in ("kty", "crv", "x", "y", "kid")}


@pytest.mark.parametrize(
    "extra, is_taken",
    [
        ({}, True),
        ({"use": "sig"}, True),
        ({"alg": "ES256"}, True),
        ({"x5t": "ignored"}, True),
        ({"use": "enc"}, False),
        ({"alg": "ES384"}, False),
        ({"alg": "HS256"}, False),
        ({"kty": "RSA"}, False),
        ({"kty": "oct", "k": "c2VjcmV0"}, False),
        ({"crv": "P-384"}, False),
        ({"kid": None}, False),
        ({"kid": 7}, False),
        ({"x": None}, False),
        ({"x": "!"}, False),
        ({"x": "ä"}, False),
        ({"x": ""}, False),
        ({"y": RFC_7517_KEY["x"]}, False),  # no point of the curve
        ({"y": RFC_7517_KEY["y"][:-1]}, False),
    ],
    ids=repr,
)
def test_only_keys_that_can_verify_our_tokens_are_taken(
    extra: dict[str, object], is_taken: bool
) -> None:
    """RFC 7517 section 5: members that are not understood are passed over, not refused."""
    good = P256 | {"kid": "good"}

    read = verification_keys({"keys": [P256 | extra, good]})

    assert set(read) == ({"1", "good"} if is_taken else {"good"})


def test_a_published_private_part_is_not_kept() -> None:
    private = ECKey.generate_key("P-256", {"kid": "1"}).as_dict(private=True)

    assert not verification_keys({"keys": [private]})["1"].is_private


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["keys", *P256]), inner),
    max_leaves=6,
)


@given(JSON)
def test_no_document_raises(document: object) -> None:
    assert verification_keys(document) == {}
    assert verification_keys({"keys": document}) == {}


@given(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "kid", "use"]), JSON, min_size=1))
def test_no_member_raises(members: dict[str, object]) -> None:
    read = verification_keys({"keys": [P256 | members]})

    assert list(read) in ([], [(P256 | members)["kid"]])


def test_unknown_key_ids_cause_one_reload_a_second() -> None:
    turns = ReloadTurns(seconds=1.0)

    assert [turns.take(at=at) for at in (5.0, 5.0, 5.5, 5.999, 6.0, 6.5, 7.0)] == [
        True, False, False, False, True, False, True,
    ]  # fmt: skip
