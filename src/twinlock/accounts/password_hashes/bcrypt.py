"""bcrypt as ``$2b$``, ``$2a$`` and ``$2y$``, plain or in Django's two wrappings.

bcrypt reads 72 bytes. Those who hashed with it cut a longer password silently, so it is cut here
as well, and only here; Django's ``bcrypt_sha256`` takes a digest first and has no such limit.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from twinlock.accounts.password_hashes.stored import noise

MAX_COST = 16

_MIN_COST = 4
_MAX_BYTES = 72
_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FROM_BASE64 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", _ALPHABET
)
_TEXT = re.compile(
    r"(?:(bcrypt|bcrypt_sha256)\$)?\$2[aby]\$([0-9]{2})\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})"
)
_LABEL = re.compile(r"(bcrypt|bcrypt_sha256)\$([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class BcryptHash:
    """One bcrypt hash, taken apart."""

    is_over_sha256: bool
    cost: int
    salt: str
    digest: str

    @property
    def label(self) -> str:
        """Wrapping and cost."""
        return f"{'bcrypt_sha256' if self.is_over_sha256 else 'bcrypt'}${self.cost}"

    @property
    def problem(self) -> str | None:
        """Why this hash is never verified, or None."""
        if not _MIN_COST <= self.cost <= MAX_COST:
            return f"its cost is not {_MIN_COST} to {MAX_COST}"
        return None

    def matches(self, password: bytes) -> bool:
        """Hash *password* the same way and compare in constant time."""
        import bcrypt

        if self.is_over_sha256:
            password = hashlib.sha256(password).hexdigest().encode("ascii")
        setting = f"$2b${self.cost:02}${self.salt}".encode("ascii")
        hashed = bcrypt.hashpw(password[:_MAX_BYTES], setting)
        return hmac.compare_digest(hashed[len(setting) :], self.digest.encode("ascii"))


def parse(text: str) -> BcryptHash | None:
    """Return the bcrypt hash that *text* is, or None."""
    found = _TEXT.fullmatch(text)
    if not found:
        return None
    wrapping, cost, salt, digest = found.groups()
    return BcryptHash(wrapping == "bcrypt_sha256", int(cost), _canonical_salt(salt), digest)


def dummy(label: str, seed: bytes) -> str | None:
    """Return a hash of the scheme in *label* that no password fits; None for another's label."""
    found = _LABEL.fullmatch(label)
    if not found:
        return None
    wrapping, cost = found.groups()
    drawn = noise(seed, 16 + 23)
    text = f"$2b${int(cost):02}${_to_base64(drawn[:16])}{_to_base64(drawn[16:])}"
    return f"bcrypt_sha256${text}" if wrapping == "bcrypt_sha256" else text


def _canonical_salt(salt: str) -> str:
    """Clear the four bits of the last character that belong to no byte.

    Old implementations left them set and ignored them; the library of today refuses such a salt.
    """
    return salt[:-1] + _ALPHABET[_ALPHABET.index(salt[-1]) & 0b110000]


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode("ascii").translate(_FROM_BASE64)
