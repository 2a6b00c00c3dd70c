"""What every scheme of password hash has in common: read the text once, then ask it.

Each module of this folder knows one family and has two functions: ``parse`` takes the stored text
and gives a ``StoredHash`` or None, ``dummy`` makes a text of the same cost that no password fits.
"""

import base64
import hashlib
import re
from typing import Protocol

# An output shorter than this could be met by chance; a longer one than this multiplies the work.
MIN_DIGEST_BYTES = 16
MAX_DIGEST_BYTES = 64

_BASE64 = re.compile(r"[A-Za-z0-9+/]+")


class StoredHash(Protocol):
    """A password hash as it was stored, understood but not yet compared with anything."""

    @property
    def label(self) -> str:
        """The scheme and what its cost depends on, such as ``argon2id$m=19456,t=2,p=1``."""

    @property
    def problem(self) -> str | None:
        """Why this hash is never verified (too costly, too weak to mean anything), or None."""

    def matches(self, password: bytes) -> bool:
        """Hash *password* the same way and compare. Only called if there is no problem."""


def from_base64(text: str) -> bytes | None:
    """Return the bytes of standard base64 without padding, or None if *text* is none."""
    if not _BASE64.fullmatch(text) or len(text) % 4 == 1:
        return None
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def to_base64(data: bytes) -> str:
    """Return *data* as standard base64 without padding, as PHC strings have it."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def noise(seed: bytes, length: int) -> bytes:
    """Return *length* bytes that look random and depend on *seed* alone."""
    return hashlib.shake_256(b"twinlock dummy hash\0" + seed).digest(length)


def digest_problem(digest: bytes) -> str | None:
    """Return what is wrong with the length of a stored digest, or None."""
    if MIN_DIGEST_BYTES <= len(digest) <= MAX_DIGEST_BYTES:
        return None
    return f"its digest has {len(digest)} bytes, not {MIN_DIGEST_BYTES} to {MAX_DIGEST_BYTES}"
