"""Keys that sign access tokens: made, sealed, opened, and published without their private part."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeyParameters

from twinlock.core.errors import InstallationError, SealBrokenError
from twinlock.core.keyring import Keyring
from twinlock.core.secrets import new_id

log = logging.getLogger("twinlock.tokens")

ALGORITHM: Final = "ES256"
"""ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4): the one algorithm of this house."""

_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "kid", "use", "alg")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it lies in the database; nothing in it is trusted before it was opened.

    Attributes:
        public_jwk: The public key as JSON, for people and tools; never read for verifying.
        private_key: PKCS #8, sealed.
        signed_until: When it stopped signing; None while it signs.
        retired_at: When its tokens stopped being accepted; None while they are.
    """

    kid: str
    algorithm: str
    public_jwk: str
    private_key: bytes = field(repr=False)
    active: bool
    signed_until: datetime | None
    retired_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """An opened key, prepared once so that signing does no more than sign."""

    kid: str
    key: ECKey = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """What one process signs and verifies with; replaced as a whole, never changed.

    Attributes:
        verification: Public keys by key id, the active one among them.
        broken: Ids of rows that did not open or were changed. Their tokens are refused,
            and whoever loads the set raises the alarm.
    """

    active: SigningKey
    verification: Mapping[str, ECKey]
    broken: tuple[str, ...] = ()

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the JWK Set to publish (RFC 7517 section 5): public members only."""
        return {"keys": [_published(key) for key in self.verification.values()]}


class ReloadTurns:
    """Lets unknown key ids cause a reload of the keys, but no more than one in each span.

    Whoever sends tokens under invented key ids must not be able to choose how often the
    database is read.
    """

    def __init__(self, *, seconds: float = 1.0) -> None:
        """Allow one turn in *seconds*."""
        self._seconds = seconds
        self._last: float | None = None

    def take(self, *, at: float) -> bool:
        """Tell whether a reload may be made now, and count it as made.

        Args:
            at: Seconds on a monotonic clock.
        """
        if self._last is not None and at - self._last < self._seconds:
            return False
        self._last = at
        return True


def generate(keyring: Keyring, *, now: datetime) -> StoredKey:
    """Return a new key, sealed, to be stored as the active one."""
    kid = new_id()
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return StoredKey(
        kid=kid,
        algorithm=ALGORITHM,
        public_jwk=_public_jwk(_prepared(private.public_key(), kid)),
        private_key=_sealed(der, kid, keyring),
        active=True,
        signed_until=None,
        retired_at=None,
        created_at=now,
    )


def open_key(stored: StoredKey, keyring: Keyring) -> SigningKey:
    """Return *stored* ready for signing.

    The public key is derived from the sealed private one, so that nobody who can write to
    the database can have tokens of their own making accepted.

    Raises:
        SealBrokenError: The row was changed or moved, or its master key is not on the ring.
    """
    private = load_der_private_key(_opened(stored, keyring), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise SealBrokenError(f"signing key {stored.kid} is of another kind")
    key = _prepared(private, stored.kid)
    if (stored.algorithm, stored.public_jwk) != (ALGORITHM, _public_jwk(key)):
        raise SealBrokenError(f"signing key {stored.kid} lies beside a public key not its own")
    return SigningKey(stored.kid, key)


def open_key_set(rows: Iterable[StoredKey], keyring: Keyring) -> KeySet:
    """Return the keys of *rows*, the active one first.

    A key that only verifies and does not open is left out, logged and named in `broken`.

    Raises:
        SealBrokenError: The active key does not open: nothing can be signed.
        InstallationError: No row is active.
    """
    active: SigningKey | None = None
    others: list[SigningKey] = []
    broken: list[str] = []
    for row in rows:
        if row.active:
            active = open_key(row, keyring)
            continue
        try:
            others.append(open_key(row, keyring))
        except SealBrokenError as error:
            log.error("signing_key_broken", extra={"kid": row.kid, "error": str(error)})
            broken.append(row.kid)
    if active is None:
        raise InstallationError("there is no active signing key")
    verification = {key.kid: _public(key) for key in (active, *others)}
    return KeySet(active, verification, tuple(broken))


def resealed(stored: StoredKey, keyring: Keyring) -> bytes:
    """Return the private key of *stored* sealed again, under the newest master key.

    Raises:
        SealBrokenError: It does not open.
    """
    return _sealed(_opened(stored, keyring), stored.kid, keyring)


def verification_keys(jwks: object) -> dict[str, ECKey]:
    """Return the keys of a published JWK Set that can verify our tokens, by key id.

    Members of other kinds, for other uses or without an id are passed over
    (RFC 7517 section 5).

    Args:
        jwks: The parsed JSON document; any JSON value is taken, without an error.
    """
    members = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(members, list):
        return {}
    keys = [key for member in members if (key := _verification_key(member)) is not None]
    return {str(key.kid): key for key in keys}


def _verification_key(member: object) -> ECKey | None:
    if not isinstance(member, dict):
        return None
    required = {"kty": "EC", "crv": "P-256"}
    optional = {"use": "sig", "alg": ALGORITHM}
    if any(member.get(name) != value for name, value in required.items()):
        return None
    if any(member.get(name, value) != value for name, value in optional.items()):
        return None
    kid, x, y = member.get("kid"), member.get("x"), member.get("y")
    if not (isinstance(kid, str) and isinstance(x, str) and isinstance(y, str)):
        return None
    try:
        key = ECKey.import_key({**required, "x": x, "y": y})
        return _prepared(key.public_key, kid)
    except (JoseError, ValueError):
        return None


def _prepared(raw: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey, kid: str) -> ECKey:
    """Return *raw* bound to our algorithm, with everything computed that a first use would."""
    bound_to: KeyParameters = {"kid": kid, "use": "sig", "alg": ALGORITHM}
    key = ECKey.import_key(raw, bound_to)
    key.ensure_kid()
    return key


def _public(key: SigningKey) -> ECKey:
    return _prepared(key.key.public_key, key.kid)


def _published(key: ECKey) -> dict[str, str]:
    return {name: str(key[name]) for name in _PUBLIC_MEMBERS}


def _public_jwk(key: ECKey) -> str:
    """Return the JSON under which a key is stored, the same for every release of the library."""
    return json.dumps(_published(key), sort_keys=True, separators=(",", ":"))


def _sealed(der: bytes, kid: str, keyring: Keyring) -> bytes:
    return keyring.seal(der, table="signing_key", column="private_key", row=kid, account="")


def _opened(stored: StoredKey, keyring: Keyring) -> bytes:
    return keyring.open(
        stored.private_key, table="signing_key", column="private_key", row=stored.kid, account=""
    )
