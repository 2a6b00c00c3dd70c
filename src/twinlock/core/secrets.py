"""All randomness of the house, and the digest by which random secrets are looked up."""

import base64
import hashlib
import secrets
import threading
from datetime import datetime
from typing import Final

_HEX_DIGITS: Final = frozenset("0123456789abcdef")


def random_bytes(length: int) -> bytes:
    """Return *length* bytes of the operating system's randomness (ASVS 5.0 11.5.1)."""
    return secrets.token_bytes(length)


def new_id() -> str:
    """Return a new public id: 128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    """Tell whether *text*, which may come from outside, is spelled like an id."""
    return len(text) == 32 and frozenset(text) <= _HEX_DIGITS


def new_secret() -> str:
    """Return a new bearer secret: 256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def random_digits(length: int) -> str:
    """Return *length* random digits, each as likely as any other."""
    return str(secrets.randbelow(10**length)).zfill(length)


def uuid7(now: datetime) -> str:
    """Return a UUIDv7 as 32 hex digits, ordered by *now* (RFC 9562 section 5.7).

    Those that one process makes in the same millisecond rise as well (section 6.2, method 2):
    what one transaction writes is read in the order it was written.
    """
    milliseconds = int(now.timestamp() * 1000) & (2**48 - 1)
    noise = _rising.draw(milliseconds)
    value = milliseconds << 80 | 7 << 76 | (noise >> 62) << 64 | 2 << 62 | (noise & (2**62 - 1))
    return f"{value:032x}"


class _Rising:
    """Random numbers of 74 bits that rise within one millisecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = -1
        self._noise = 0

    def draw(self, millisecond: int) -> int:
        with self._lock:
            if millisecond == self._millisecond:
                self._noise = (self._noise + 1 + secrets.randbits(32)) & (2**74 - 1)
            else:
                self._noise = secrets.randbits(73)  # half of the numbers are left to rise into
                self._millisecond = millisecond
            return self._noise


_rising: Final = _Rising()


def digest(secret: str) -> bytes:
    """Return the SHA-256 by which a secret of 128 bits or more is stored and found.

    A slow hash adds nothing above 112 bits of entropy (ASVS 5.0 6.5.2).
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def to_base64url(data: bytes) -> str:
    """Return *data* as base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url.

    Raises:
        ValueError: *text* is not base64url, or not in its one canonical spelling.
    """
    data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise ValueError("not canonical base64url")
    return data
