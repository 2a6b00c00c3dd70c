"""An authenticator for test suites: it scans what an enrollment shows and makes the answers."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from twinlock.core.secrets import from_base64url, random_bytes, to_base64url
from twinlock.factors.totp import otpauth, rfc6238

DEFAULT_ORIGIN: Final = "http://localhost:8000"
"""Where the installations are that the pytest plugin makes."""
_UP, _UV, _BE, _BS, _AT = 1, 4, 8, 16, 64
_ES256: Final = -7


@dataclass
class Passkey:
    """A credential on the authenticator.

    Attributes:
        sign_count: Stays 0 where the passkey is synced, as with real ones.
    """

    credential_id: bytes
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    rp_id: str
    user_handle: bytes
    sign_count: int = 0


class FakeAuthenticator:
    """The authenticator of a person in a test: an app for codes, and a keeper of passkeys.

    Example:
        ``code = FakeAuthenticator.from_uri(options["uri"]).code(at=now)``

        ``credential = FakeAuthenticator().create(options)`` is what
        ``navigator.credentials.create()`` would give for an enrollment's options, and ``get``
        what ``navigator.credentials.get()`` would for a sign-in's.

    Attributes:
        origin: The page that it is used on.
        verifies_user: Whether it asks for a PIN or a finger, and is shown the right one.
        is_synced: Whether its passkeys are backed up; those of a security key are not, and count.
        aaguid: What it says it is.
        passkeys: What it holds, the oldest first.
    """

    def __init__(
        self,
        *,
        origin: str = DEFAULT_ORIGIN,
        verifies_user: bool = True,
        is_synced: bool = True,
        aaguid: bytes = bytes(16),
    ) -> None:
        self._scanned: list[otpauth.Parsed] = []
        self.origin = origin
        self.verifies_user = verifies_user
        self.is_synced = is_synced
        self.aaguid = aaguid
        self.passkeys: list[Passkey] = []

    @classmethod
    def from_uri(cls, uri: str) -> "FakeAuthenticator":
        """Return an app that has scanned one QR code.

        Raises:
            ValueError: An app could not read *uri*.
        """
        authenticator = cls()
        authenticator.scan(uri)
        return authenticator

    def scan(self, uri: str) -> None:
        """Add the ``otpauth`` URI of a QR code; `code` then shows its codes.

        Raises:
            ValueError: An app could not read *uri*.
        """
        match otpauth.parse_uri(uri):
            case otpauth.Parsed() as parsed:
                self._scanned.append(parsed)
            case problem:
                raise ValueError(f"not an otpauth URI of TOTP: {problem}")

    def code(self, at: datetime) -> str:
        """Return the code that the app shows at a moment for what was scanned last.

        Args:
            at: The moment; aware.

        Raises:
            LookupError: Nothing was scanned yet.
        """
        if not self._scanned:
            raise LookupError("this authenticator has scanned nothing yet")
        newest = self._scanned[-1]
        return rfc6238.totp(newest.key, at=at, params=newest.params)

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Make a passkey for ``PublicKeyCredentialCreationOptionsJSON``, and tell its public key.

        Args:
            options: As an enrollment gives them.

        Raises:
            LookupError: It holds one of ``excludeCredentials`` already.
            ValueError: No browser would do that on this page, or it knows none of the algorithms.
        """
        rp_id = options["rp"]["id"]
        self._require_own(rp_id)
        if _ES256 not in [one["alg"] for one in options["pubKeyCredParams"]]:
            raise ValueError("this authenticator knows ES256 only")
        held = {one.credential_id for one in self.passkeys}
        if held & {from_base64url(one["id"]) for one in options.get("excludeCredentials", [])}:
            raise LookupError("this authenticator holds a passkey of that account already")
        made = Passkey(
            random_bytes(32),
            ec.generate_private_key(ec.SECP256R1()),
            rp_id,
            from_base64url(options["user"]["id"]),
        )
        self.passkeys.append(made)
        attested = (
            self.aaguid
            + struct.pack(">H", len(made.credential_id))
            + made.credential_id
            + _cose_key(made.key)
        )
        data = self._authenticator_data(made, _AT) + attested
        attestation = _cbor({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": self._client_data("webauthn.create", options["challenge"]),
            "attestationObject": to_base64url(attestation),
            "transports": ["internal"],
        }
        return _credential(made, response)

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Answer ``PublicKeyCredentialRequestOptionsJSON`` with the newest passkey that fits.

        Args:
            options: As a login, a reauthentication or a passkey sign-in gives them.

        Raises:
            LookupError: It holds none that fits, or cannot verify its user and has to.
            ValueError: No browser would do that on this page.
        """
        rp_id = options["rpId"]
        self._require_own(rp_id)
        if options.get("userVerification") == "required" and not self.verifies_user:
            raise LookupError("this authenticator cannot verify its user")
        allowed = {from_base64url(one["id"]) for one in options.get("allowCredentials") or []}
        fitting = [
            one
            for one in self.passkeys
            if one.rp_id == rp_id and (not allowed or one.credential_id in allowed)
        ]
        if not fitting:
            raise LookupError("this authenticator holds no such passkey")
        return self.sign(fitting[-1], options["challenge"])

    def sign(self, passkey: Passkey, challenge: str, **client_data: Any) -> dict[str, Any]:
        """Sign a challenge as it stands, whatever was asked for: to test what must be refused.

        Args:
            passkey: One of `passkeys`.
            challenge: What is to be signed, in base64url.
            client_data: What the browser is to say differently, such as ``origin``.
        """
        if not self.is_synced:
            passkey.sign_count += 1
        data = self._authenticator_data(passkey, 0)
        client = self._client_data("webauthn.get", challenge, **client_data)
        signed = data + hashlib.sha256(from_base64url(client)).digest()
        response = {
            "clientDataJSON": client,
            "authenticatorData": to_base64url(data),
            "signature": to_base64url(passkey.key.sign(signed, ec.ECDSA(SHA256()))),
            "userHandle": to_base64url(passkey.user_handle),
        }
        return _credential(passkey, response)

    def _require_own(self, rp_id: str) -> None:
        host = urlsplit(self.origin).hostname or ""
        if host != rp_id and not host.endswith(f".{rp_id}"):
            raise ValueError(f"a page of {self.origin} may not ask for passkeys of {rp_id}")

    def _authenticator_data(self, passkey: Passkey, flags: int) -> bytes:
        flags |= _UP | (_UV if self.verifies_user else 0)
        flags |= _BE | _BS if self.is_synced else 0
        rp_id_hash = hashlib.sha256(passkey.rp_id.encode()).digest()
        return rp_id_hash + struct.pack(">BI", flags, passkey.sign_count)

    def _client_data(self, type_: str, challenge: str, **changes: Any) -> str:
        told = {"type": type_, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return to_base64url(json.dumps({**told, **changes}).encode())


def _credential(passkey: Passkey, response: dict[str, Any]) -> dict[str, Any]:
    credential_id = to_base64url(passkey.credential_id)
    return {
        "id": credential_id,
        "rawId": credential_id,
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": response,
    }


def _cose_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key as COSE has it (RFC 9053 section 7.1.1)."""
    numbers = key.public_key().public_numbers()
    x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
    return _cbor({1: 2, 3: _ES256, -1: 1, -2: x, -3: y})


def _cbor(value: int | str | bytes | Mapping[Any, Any]) -> bytes:
    """Encode what an authenticator says (RFC 8949 section 3)."""
    match value:
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case _:
            pairs = b"".join(_cbor(key) + _cbor(item) for key, item in value.items())
            return _head(5, len(value)) + pairs


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    if number < 256:
        return bytes([major << 5 | 24, number])
    return bytes([major << 5 | 25]) + struct.pack(">H", number)
