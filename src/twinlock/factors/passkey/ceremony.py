"""The two WebAuthn ceremonies (Level 3 section 7): what a browser is asked, and every check of it.

The library parses and verifies signatures; what it lets pass (``crossOrigin``, the user handle,
changed backup eligibility) is checked here. It is imported at the first answer, so that an
application without passkeys never loads it.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hmac import compare_digest
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from twinlock.core.proof import Reason
from twinlock.core.secrets import from_base64url, to_base64url

CHALLENGE_BYTES: Final = 32
LIFETIME: Final = timedelta(minutes=5)
"""How long a challenge of a sign-in can be answered."""
ALGORITHMS: Final = (-7, -8, -257)
"""COSE numbers of ES256, EdDSA and RS256, the best first (WebAuthn Level 3 section 5.4)."""
MAX_CREDENTIAL_ID_BYTES: Final = 1023
"""WebAuthn Level 3 section 7.1 step 25."""
MAX_PUBLIC_KEY_BYTES: Final = 2048
_MAX_COUNT: Final = 2**32 - 1
_TRANSPORTS: Final = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")
_KEY_TYPE: Final = "public-key"


class Verification(StrEnum):
    """Whether the person must show the authenticator who they are (section 5.8.6)."""

    REQUIRED = "required"
    PREFERRED = "preferred"


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who passkeys are for.

    Attributes:
        id: The host name, or a parent of it, that they are bound to for good.
        name: What the person is shown.
        origins: Where ceremonies may take place.
    """

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it is stored, its public key opened.

    Attributes:
        user_handle: That of its account.
    """

    id: bytes
    public_key: bytes
    is_backup_eligible: bool
    user_handle: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """A new credential whose registration was verified."""

    credential_id: bytes
    public_key: bytes
    algorithm: int
    aaguid: str
    transports: tuple[str, ...]
    sign_count: int
    is_user_verified: bool
    is_backup_eligible: bool
    is_backed_up: bool


@dataclass(frozen=True, slots=True)
class Asserted:
    """An answer of a known credential whose signature was verified."""

    sign_count: int
    is_user_verified: bool
    is_backed_up: bool


def creation_options(
    rp: RelyingParty,
    *,
    challenge: bytes,
    user_handle: bytes,
    name: str,
    display_name: str,
    excluded: Sequence[Mapping[str, Any]],
    lifetime: timedelta,
) -> dict[str, Any]:
    """Return ``PublicKeyCredentialCreationOptionsJSON`` (section 5.4)."""
    return {
        "rp": {"id": rp.id, "name": rp.name},
        "user": {"id": to_base64url(user_handle), "name": name, "displayName": display_name},
        "challenge": to_base64url(challenge),
        "pubKeyCredParams": [{"type": _KEY_TYPE, "alg": number} for number in ALGORITHMS],
        "timeout": _milliseconds(lifetime),
        "excludeCredentials": list(excluded),
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": Verification.PREFERRED,
        },
        "attestation": "none",
    }


def request_options(
    rp: RelyingParty,
    *,
    challenge: bytes,
    allowed: Sequence[Mapping[str, Any]],
    verification: Verification,
) -> dict[str, Any]:
    """Return ``PublicKeyCredentialRequestOptionsJSON`` (section 5.5); none allowed: any may be."""
    return {
        "challenge": to_base64url(challenge),
        "timeout": _milliseconds(LIFETIME),
        "rpId": rp.id,
        "allowCredentials": list(allowed),
        "userVerification": verification,
    }


def descriptor(credential_id: bytes, transports: Sequence[str]) -> dict[str, Any]:
    """Return a ``PublicKeyCredentialDescriptorJSON`` (section 5.8.3)."""
    described = {"type": _KEY_TYPE, "id": to_base64url(credential_id)}
    return {**described, "transports": list(transports)} if transports else dict(described)


def read_answer(answer: object) -> dict[str, Any] | None:
    """Return a credential that came as an object, or as its JSON text at ``/token``."""
    if isinstance(answer, str):
        try:
            answer = json.loads(answer)
        except (ValueError, RecursionError):
            return None
    return answer if isinstance(answer, dict) else None


def claimed_credential_id(answer: object) -> bytes | None:
    """Return the id of the credential that an answer says it comes from."""
    read = read_answer(answer)
    claimed = read.get("id") if read else None
    if not isinstance(claimed, str) or not 0 < len(claimed) <= 2 * MAX_CREDENTIAL_ID_BYTES:
        return None
    try:
        return from_base64url(claimed)
    except ValueError:
        return None


def verify_registration(
    answer: object, *, rp: RelyingParty, expected_challenge: bytes
) -> Registered | Reason:
    """Check an answer of ``navigator.credentials.create()`` (section 7.1)."""
    read = read_answer(answer)
    if read is None:
        return Reason.MALFORMED
    try:
        return _verify_registration(read, rp, expected_challenge)
    except Exception as error:  # noqa: BLE001 - the library raises ValueError, KeyError and others
        return _reason_of(error)


def verify_assertion(
    answer: object,
    credential: Credential,
    *,
    rp: RelyingParty,
    expected_challenge: bytes,
    verification: Verification,
    must_name_user: bool,
) -> Asserted | Reason:
    """Check an answer of ``navigator.credentials.get()`` (section 7.2), but for the counter.

    The counter is compared where it is stored, by the statement that advances it.

    Args:
        must_name_user: Whether the user handle has to come along, as it does where the
            credential named the account (section 7.2 step 6).
    """
    read = read_answer(answer)
    if read is None:
        return Reason.MALFORMED
    try:
        return _verify_assertion(
            read,
            credential,
            rp,
            expected_challenge,
            verification=verification,
            must_name_user=must_name_user,
        )
    except Exception as error:  # noqa: BLE001 - the library raises ValueError, KeyError and others
        return _reason_of(error)


class _RefusedError(Exception):
    """A check of ours failed."""


def _verify_registration(
    answer: dict[str, Any], rp: RelyingParty, expected_challenge: bytes
) -> Registered:
    from webauthn import verify_registration_response
    from webauthn.helpers import decode_credential_public_key
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import CredentialDeviceType

    _check_client_data(answer, rp, expected_challenge, expected_type="webauthn.create")
    verified = verify_registration_response(
        credential=answer,
        expected_challenge=expected_challenge,
        expected_rp_id=rp.id,
        expected_origin=list(rp.origins),
        supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in ALGORITHMS],
    )
    public_key = verified.credential_public_key
    _require(0 < len(verified.credential_id) <= MAX_CREDENTIAL_ID_BYTES)
    _require(len(public_key) <= MAX_PUBLIC_KEY_BYTES)
    _require(answer.get("id") == to_base64url(verified.credential_id))
    return Registered(
        credential_id=verified.credential_id,
        public_key=public_key,
        algorithm=int(decode_credential_public_key(public_key).alg),
        aaguid=verified.aaguid,
        transports=_transports(answer["response"].get("transports")),
        sign_count=verified.sign_count,
        is_user_verified=verified.user_verified,
        is_backup_eligible=verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        is_backed_up=verified.credential_backed_up,
    )


def _verify_assertion(
    answer: dict[str, Any],
    credential: Credential,
    rp: RelyingParty,
    expected_challenge: bytes,
    *,
    verification: Verification,
    must_name_user: bool,
) -> Asserted:
    from webauthn import verify_authentication_response
    from webauthn.helpers.structs import CredentialDeviceType

    _require(answer.get("id") == to_base64url(credential.id))
    user_handle = answer["response"].get("userHandle")
    if user_handle is None:
        _require(not must_name_user)
    else:
        claimed = from_base64url(user_handle)
        _require(compare_digest(claimed, credential.user_handle))
    _check_client_data(answer, rp, expected_challenge, expected_type="webauthn.get")
    verified = verify_authentication_response(
        credential=answer,
        expected_challenge=expected_challenge,
        expected_rp_id=rp.id,
        expected_origin=list(rp.origins),
        credential_public_key=credential.public_key,
        credential_current_sign_count=0,
        require_user_verification=verification is Verification.REQUIRED,
    )
    is_eligible = verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    _require(is_eligible == credential.is_backup_eligible)
    _require(0 <= verified.new_sign_count <= _MAX_COUNT)
    return Asserted(verified.new_sign_count, verified.user_verified, verified.credential_backed_up)


def _check_client_data(
    answer: dict[str, Any], rp: RelyingParty, expected_challenge: bytes, *, expected_type: str
) -> None:
    """Check what the browser says of the ceremony (section 7.1 steps 7-11, 7.2 steps 11-15)."""
    raw = from_base64url(answer["response"]["clientDataJSON"])
    client_data = json.loads(raw.decode("utf-8"))
    _require(client_data["type"] == expected_type)
    _require(client_data["challenge"] == to_base64url(expected_challenge))
    _require(client_data["origin"] in rp.origins)
    # No ceremony of ours takes place inside another site's frame.
    _require(client_data.get("crossOrigin", False) is False)
    _require("topOrigin" not in client_data)


def _require(holds: object) -> None:
    if not holds:
        raise _RefusedError


def _reason_of(error: Exception) -> Reason:
    from webauthn.helpers.exceptions import (
        InvalidAuthenticationResponse,
        InvalidRegistrationResponse,
    )

    refused = (_RefusedError, InvalidAuthenticationResponse, InvalidRegistrationResponse)
    return Reason.WRONG if isinstance(error, refused) else Reason.MALFORMED


def _transports(claimed: object) -> tuple[str, ...]:
    """Return those transports that are known; the rest would only grow the row."""
    return tuple(one for one in _TRANSPORTS if isinstance(claimed, list) and one in claimed)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


@functools.cache
def nobodys_key() -> bytes:
    """Return a COSE key of ES256 to check in vain with; everybody can know its other half."""
    point = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    x, y = (one.to_bytes(32, "big") for one in (point.x, point.y))
    return b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + x + b"\x22\x58\x20" + y


def digest_of(challenge: bytes) -> bytes:
    """Return the digest under which an answered challenge is remembered."""
    return hashlib.sha256(challenge).digest()
