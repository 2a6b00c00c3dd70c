"""scrypt (RFC 7914) as Django writes it and as a PHC string (passlib)."""

import hashlib
import hmac
import re
from dataclasses import dataclass

from twinlock.accounts.password_hashes.stored import (
    digest_problem,
    from_base64,
    noise,
    to_base64,
)

MAX_MEMORY_BYTES = 256 * 1024 * 1024  # 128 * n * r
MAX_WORK_BYTES = 4 * MAX_MEMORY_BYTES  # the same, times p
MAX_R = 64
MAX_P = 16

_NUMBER = r"[1-9][0-9]{0,9}"
_DJANGO = re.compile(
    rf"scrypt\$({_NUMBER})\$([!-#%-~]{{1,128}})\$({_NUMBER})\$({_NUMBER})\$([A-Za-z0-9+/]+)={{0,2}}"
)
_PHC = re.compile(
    rf"\$scrypt\$ln=([1-9][0-9]?),r=({_NUMBER}),p=({_NUMBER})\$([A-Za-z0-9+/]*)\$([A-Za-z0-9+/]+)"
)
_LABEL = re.compile(rf"scrypt\$n=({_NUMBER}),r=({_NUMBER}),p=({_NUMBER})")


@dataclass(frozen=True, slots=True)
class ScryptHash:
    """One scrypt hash, taken apart; n, r and p are the names of RFC 7914 section 2."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @property
    def label(self) -> str:
        """The three cost parameters."""
        return f"scrypt$n={self.n},r={self.r},p={self.p}"

    @property
    def problem(self) -> str | None:
        """Why this hash is never verified, or None."""
        if self.r > MAX_R or self.p > MAX_P:
            return f"its r is above {MAX_R} or its p above {MAX_P}"
        if not 1 < self.n < 1 << 16 * self.r or self.n & (self.n - 1):
            return "its n is no power of two between 1 and 2 ** 16r (RFC 7914 section 6)"
        if self._memory_bytes > MAX_MEMORY_BYTES:
            return f"its memory cost is above {MAX_MEMORY_BYTES} bytes"
        if self._memory_bytes * self.p > MAX_WORK_BYTES:
            return f"its memory cost times p is above {MAX_WORK_BYTES} bytes"
        return digest_problem(self.digest)

    def matches(self, password: bytes) -> bool:
        """Hash *password* the same way and compare in constant time."""
        derived = hashlib.scrypt(
            password,
            salt=self.salt,
            n=self.n,
            r=self.r,
            p=self.p,
            maxmem=128 * self.r * (self.n + self.p + 2),
            dklen=len(self.digest),
        )
        return hmac.compare_digest(derived, self.digest)

    @property
    def _memory_bytes(self) -> int:
        return 128 * self.n * self.r


def parse(text: str) -> ScryptHash | None:
    """Return the scrypt hash that *text* is, or None."""
    if found := _DJANGO.fullmatch(text):
        n_text, salt_text, r, p, digest_text = found.groups()
        n, salt = int(n_text), salt_text.encode("ascii")
    elif found := _PHC.fullmatch(text):
        exponent, r, p, salt_text, digest_text = found.groups()
        decoded = from_base64(salt_text) if salt_text else b""
        if decoded is None:
            return None
        n, salt = 1 << int(exponent), decoded
    else:
        return None
    digest = from_base64(digest_text)
    return None if digest is None else ScryptHash(n, int(r), int(p), salt, digest)


def dummy(label: str, seed: bytes) -> str | None:
    """Return a hash of the scheme in *label* that no password fits; None for another's label."""
    found = _LABEL.fullmatch(label)
    if not found:
        return None
    n, r, p = found.groups()
    drawn = noise(seed, 16 + 64)
    return f"scrypt${n}${drawn[:16].hex()}${r}${p}${to_base64(drawn[16:])}"
