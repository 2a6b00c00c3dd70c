"""Whatever becomes of a right answer on its way, it is denied, and nothing fails on it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinlock.core.proof import Reason
from twinlock.core.secrets import from_base64url, to_base64url
from twinlock.factors.passkey import ceremony
from twinlock.factors.passkey.ceremony import (
    Asserted,
    Credential,
    Registered,
    RelyingParty,
    Verification,
)
from twinlock.testing.authenticator import DEFAULT_ORIGIN, FakeAuthenticator

RP = RelyingParty("localhost", "Example", (DEFAULT_ORIGIN,))
CHALLENGE = bytes(range(32))
HANDLE = bytes(range(64, 96))
OPTIONS = ceremony.creation_options(
    RP,
    challenge=CHALLENGE,
    user_handle=HANDLE,
    name="johndoe",
    display_name="John Doe",
    excluded=[],
    lifetime=timedelta(minutes=10),
)
DEVICE = FakeAuthenticator()
REGISTRATION = DEVICE.create(OPTIONS)
KEY = DEVICE.passkeys[0]
ASSERTION = DEVICE.sign(KEY, to_base64url(CHALLENGE))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        "id",
        "rawId",
        "type",
        "response",
        "clientDataJSON",
        "authenticatorData",
        "signature",
        "userHandle",
        "attestationObject",
    ]
)


def registered(answer: object) -> Registered | Reason:
    return ceremony.verify_registration(answer, rp=RP, expected_challenge=CHALLENGE)


def asserted(answer: object, *, must_name_user: bool = True) -> Asserted | Reason:
    found = registered(REGISTRATION)
    assert isinstance(found, Registered)
    credential = Credential(KEY.credential_id, found.public_key, True, HANDLE)
    return ceremony.verify_assertion(
        answer,
        credential,
        rp=RP,
        expected_challenge=CHALLENGE,
        verification=Verification.REQUIRED,
        must_name_user=must_name_user,
    )


def changed(answer: dict[str, Any], member: str, value: object) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(answer))
    owner = copy["response"] if member in copy["response"] else copy
    owner[member] = value
    return copy


def test_the_answers_are_right_as_they_are() -> None:
    assert isinstance(registered(REGISTRATION), Registered)
    assert isinstance(asserted(ASSERTION), Asserted)
    assert isinstance(asserted(json.dumps(ASSERTION)), Asserted)


@given(answer=JSON)
def test_anything_at_all_is_denied(answer: object) -> None:
    assert isinstance(registered(answer), Reason)
    assert isinstance(asserted(answer), Reason)


@given(member=MEMBERS, value=JSON)
def test_a_replaced_member_is_denied(member: str, value: object) -> None:
    for check, right in ((registered, REGISTRATION), (asserted, ASSERTION)):
        if member in right or member in right["response"]:
            assert isinstance(check(changed(right, member, value)), Reason)


@pytest.mark.parametrize("member", ["id", "rawId", "type", "response"])
@pytest.mark.parametrize("check", [registered, asserted])
def test_a_missing_member_is_denied(check: Callable[[object], object], member: str) -> None:
    right = REGISTRATION if check is registered else ASSERTION

    assert isinstance(check({key: right[key] for key in right if key != member}), Reason)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    member=st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle"]),
    position=st.integers(min_value=0, max_value=10_000),
    bit=st.integers(min_value=0, max_value=7),
)
def test_a_flipped_bit_of_an_assertion_is_denied(member: str, position: int, bit: int) -> None:
    raw = bytearray(from_base64url(ASSERTION["response"][member]))
    raw[position % len(raw)] ^= 1 << bit

    assert isinstance(asserted(changed(ASSERTION, member, to_base64url(bytes(raw)))), Reason)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    position=st.integers(min_value=0, max_value=10_000),
    bit=st.integers(min_value=0, max_value=7),
    cut=st.booleans(),
)
def test_a_damaged_registration_never_fails(position: int, bit: int, cut: bool) -> None:
    """Without attestation a new key is what it says: it may be another, never an exception."""
    raw = bytearray(from_base64url(REGISTRATION["response"]["attestationObject"]))
    raw[position % len(raw)] ^= 1 << bit
    damaged = bytes(raw[: position % len(raw)]) if cut else bytes(raw)

    found = registered(changed(REGISTRATION, "attestationObject", to_base64url(damaged)))

    assert isinstance(found, Reason | Registered)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", "1e999", "NaN", "[" * 100_000, '{"a":' * 50_000, "\ud800", ""],
    ids=lambda text: repr(text)[:12],
)
def test_odd_texts_are_denied(text: str) -> None:
    assert registered(text) is Reason.MALFORMED
    assert asserted(text) is Reason.MALFORMED
    assert ceremony.claimed_credential_id(text) is None


@pytest.mark.parametrize("claimed", ["", "é", "=", "AB=", "A", "\ud800", 7, None, "A" * 4096])
def test_an_id_that_is_none_names_no_credential(claimed: object) -> None:
    assert ceremony.claimed_credential_id({"id": claimed}) is None


def test_without_user_verification_a_login_alone_is_denied() -> None:
    DEVICE.verifies_user = False
    try:
        assert asserted(DEVICE.sign(KEY, to_base64url(CHALLENGE))) is Reason.WRONG
    finally:
        DEVICE.verifies_user = True


def test_client_data_in_another_encoding_is_denied() -> None:
    """Section 7.2 step 9: UTF-8; the library's JSON parser guesses."""
    text = from_base64url(ASSERTION["response"]["clientDataJSON"]).decode()
    odd = changed(ASSERTION, "clientDataJSON", to_base64url(text.encode("utf-16")))

    assert isinstance(asserted(odd), Reason)
