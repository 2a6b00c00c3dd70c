"""Sealing, authenticating and digesting, each purpose under a derived key of its own.

The operator holds the master keys (newest first); from each, HKDF derives one key per
purpose. Values carry the id of their key, the start of a digest of it, so that the order
of the list may change and old values stay readable while ``twinlock secret rotate`` runs.

A running process learns of a rotation by itself: a new key stands in the key file before
anything is sealed under it, so whoever meets an id that is not on the ring looks there again.
"""

import functools
import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from twinlock.core.errors import ConfigurationError, SealBrokenError
from twinlock.core.secrets import random_bytes

log = logging.getLogger("twinlock.keyring")

MASTER_KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = 1 + _KEY_ID_BYTES


def _derived(key: bytes, purpose: str) -> bytes:
    info = b"twinlock/v1/" + purpose.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)


def _framed(parts: Sequence[str | bytes]) -> bytes:
    """Join *parts* so that no two lists give the same bytes."""
    raw = [
        part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in parts
    ]
    return b"".join([len(part).to_bytes(4, "big") + part for part in raw])


class _MasterKey:
    """One master key, and what was derived from it so far."""

    def __init__(self, key: bytes) -> None:
        self.id = hashlib.sha256(b"twinlock/v1/key-id" + key).digest()[:_KEY_ID_BYTES]
        self._key = key
        self.cipher = AESGCM(_derived(key, "seal"))
        self.mac_key = functools.cache(lambda purpose: _derived(key, "mac/" + purpose))


@dataclass(frozen=True, slots=True)
class _Ring:
    """The keys of one moment; replaced as a whole, so that no thread sees half a rotation."""

    newest: _MasterKey
    by_id: Mapping[bytes, _MasterKey]

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> "_Ring":
        if not keys:
            raise ConfigurationError("TWINLOCK_SECRET_KEYS holds no key")
        if any(len(key) != MASTER_KEY_BYTES for key in keys):
            raise ConfigurationError("each of TWINLOCK_SECRET_KEYS must be 32 bytes in base64url")
        masters = [_MasterKey(key) for key in keys]
        by_id = {master.id: master for master in masters}
        if len(by_id) != len(masters):
            raise ConfigurationError("TWINLOCK_SECRET_KEYS names one key twice")
        return cls(masters[0], by_id)


class Keyring:
    """The master keys of an installation, newest first; safe to use from any thread."""

    def __init__(
        self,
        keys: Sequence[bytes],
        *,
        changed: Callable[[], Sequence[bytes] | None] = lambda: None,
        is_ours: Callable[["Keyring"], bool] = lambda ring: False,
    ) -> None:
        """Derive from *keys*, each of 32 bytes, the newest first.

        Args:
            keys: The master keys.
            changed: Returns all keys if they are others than when it was last asked, else
                None. Asked at every poll and for every unknown key id, so it must be quick.
            is_ours: Tells whether a ring belongs to this installation; asked only of one that
                shares no key with the present one, as after a long pause of this process.

        Raises:
            ConfigurationError: No key, a key of another length, or one key twice.
        """
        self._ring = _Ring.of(keys)
        self._changed = changed
        self._is_ours = is_ours
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Keyring(newest={self.newest_id}, keys=***)"

    @property
    def newest_id(self) -> str:
        """The id of the key that seals now, as 8 hex digits."""
        return self._ring.newest.id.hex()

    @property
    def ids(self) -> list[str]:
        """The ids of all keys, newest first."""
        return [key_id.hex() for key_id in self._ring.by_id]

    def look_again(self) -> bool:
        """Take over keys that were added or dropped meanwhile; tell whether any were.

        A ring that is somebody else's is refused and logged, and the present one stays.
        """
        with self._lock:  # asking and taking over are one step, or an older answer could win
            keys = self._changed()
            if keys is None:
                return False
            try:
                ring = _Ring.of(keys)
                is_known = bool(ring.by_id.keys() & self._ring.by_id.keys())
                if not is_known and not self._is_ours(Keyring(keys)):
                    raise ConfigurationError("the keys are not those of this installation")
            except ConfigurationError as error:
                log.critical("master_keys_refused", extra={"error": str(error)})
                return False
            before, self._ring = self.ids, ring
        if self.ids != before:
            log.info("master_keys_changed", extra={"before": before, "keys": self.ids})
        return self.ids != before

    def seal(self, plain: bytes, *, table: str, column: str, row: str, account: str) -> bytes:
        """Return *plain* encrypted under the newest key and bound to its place.

        AES-256-GCM; the place is authenticated, so that a value copied to another row,
        column or account does not open.
        """
        nonce = random_bytes(_NONCE_BYTES)
        newest = self._ring.newest
        header = _VERSION + newest.id
        place = header + _framed((table, column, row, account))
        return header + nonce + newest.cipher.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, *, table: str, column: str, row: str, account: str) -> bytes:
        """Return what was sealed at exactly this place.

        Raises:
            SealBrokenError: The value was changed or moved, or its key is not on the ring.
        """
        is_sealed = _is_bytes(sealed) and sealed[:1] == _VERSION
        master = self._master(sealed[1:_HEADER_BYTES]) if is_sealed else None
        if master is None:
            raise SealBrokenError(f"{table}.{column} of row {row} is sealed by an unknown key")
        nonce = sealed[_HEADER_BYTES : _HEADER_BYTES + _NONCE_BYTES]
        place = sealed[:_HEADER_BYTES] + _framed((table, column, row, account))
        try:
            return master.cipher.decrypt(nonce, sealed[_HEADER_BYTES + _NONCE_BYTES :], place)
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(f"{table}.{column} of row {row} does not open") from error

    def mac(self, purpose: str, *parts: str | bytes) -> bytes:
        """Return the id of the newest key and its HMAC-SHA-256 over *parts* (36 bytes)."""
        newest = self._ring.newest
        return newest.id + self._tag(newest, purpose, parts)

    def is_mac(self, claimed: bytes, purpose: str, *parts: str | bytes) -> bool:
        """Tell whether a key of the ring made *claimed* for this purpose and these parts."""
        master = self._master(claimed[:_KEY_ID_BYTES]) if _is_bytes(claimed) else None
        if master is None:
            return False
        return hmac.compare_digest(claimed[_KEY_ID_BYTES:], self._tag(master, purpose, parts))

    def is_stale_seal(self, sealed: bytes) -> bool:
        """Tell whether *sealed* was sealed under another key than the newest."""
        return sealed[1:_HEADER_BYTES] != self._ring.newest.id

    def is_stale_mac(self, mac: bytes) -> bool:
        """Tell whether *mac* was made under another key than the newest."""
        return mac[:_KEY_ID_BYTES] != self._ring.newest.id

    def _master(self, key_id: bytes) -> _MasterKey | None:
        """Return the key of an id, looking again where keys come from if it is unknown."""
        master = self._ring.by_id.get(key_id)
        if master is None:
            self.look_again()  # or another thread just did: see the ring again in any case
            master = self._ring.by_id.get(key_id)
        return master

    @staticmethod
    def _tag(master: _MasterKey, purpose: str, parts: Sequence[str | bytes]) -> bytes:
        return hmac.digest(master.mac_key(purpose), _framed(parts), "sha256")


def _is_bytes(stored: object) -> bool:
    """Tell whether a column held bytes: SQLite gives back whatever somebody has put there."""
    return isinstance(stored, bytes)


class DigestKey:
    """Keyed digests for finding rows by values that must not be stored.

    The key lies in the database, sealed under the master keys, and outlives their
    rotation: counts, recovery codes and known browsers stay found.
    """

    def __init__(self, key: bytes) -> None:
        self._purpose_key = functools.cache(lambda purpose: _derived(key, "digest/" + purpose))

    def __repr__(self) -> str:
        return "DigestKey(***)"

    def digest(self, purpose: str, *parts: str | bytes) -> bytes:
        """Return HMAC-SHA-256 over *parts* under the key of *purpose* (32 bytes)."""
        return hmac.digest(self._purpose_key(purpose), _framed(parts), "sha256")

    def veil(self, purpose: str, inner: str) -> str:
        """Return an id of 32 hex digits as another that tells nothing of it; `unveil` leads back.

        One block of AES is a permutation of all ids: nothing is stored, and no two meet.
        """
        return self._block(purpose).encryptor().update(bytes.fromhex(inner)).hex()

    def unveil(self, purpose: str, shown: str) -> str:
        """Return the id that *shown*, 32 hex digits, stands for; any text stands for one."""
        return self._block(purpose).decryptor().update(bytes.fromhex(shown)).hex()

    def _block(self, purpose: str) -> Cipher[ECB]:
        return Cipher(AES256(self._purpose_key(purpose)), ECB())  # noqa: S305 - one block, no mode
