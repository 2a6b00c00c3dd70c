"""PBKDF2 (RFC 8018 section 5.2) as Django writes it and as passlib does."""

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

# About five seconds of one core each.
MAX_ITERATIONS = {"sha1": 10_000_000, "sha256": 10_000_000, "sha512": 5_000_000}

_DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}
_ITERATIONS = r"([1-9][0-9]{0,9})"
_DJANGO = re.compile(
    rf"pbkdf2_(sha1|sha256|sha512)\${_ITERATIONS}\$([!-#%-~]{{1,128}})\$([A-Za-z0-9+/]+)={{0,2}}"
)
_PASSLIB = re.compile(
    rf"\$pbkdf2(-sha256|-sha512|)\${_ITERATIONS}\$([A-Za-z0-9./]*)\$([A-Za-z0-9./]+)"
)
_LABEL = re.compile(rf"pbkdf2_(sha1|sha256|sha512)\${_ITERATIONS}")


@dataclass(frozen=True, slots=True)
class Pbkdf2Hash:
    """One PBKDF2 hash, taken apart."""

    hash_name: str
    iterations: int
    salt: bytes
    digest: bytes

    @property
    def label(self) -> str:
        """Hash function and iterations."""
        return f"pbkdf2_{self.hash_name}${self.iterations}"

    @property
    def problem(self) -> str | None:
        """Why this hash is never verified, or None."""
        if self.iterations > MAX_ITERATIONS[self.hash_name]:
            return f"its iterations are above {MAX_ITERATIONS[self.hash_name]}"
        # Each further block of output would cost all iterations again.
        if len(self.digest) > _DIGEST_BYTES[self.hash_name]:
            return f"its digest is longer than one output of {self.hash_name}"
        return digest_problem(self.digest)

    def matches(self, password: bytes) -> bool:
        """Hash *password* the same way and compare in constant time."""
        derived = hashlib.pbkdf2_hmac(
            self.hash_name, password, self.salt, self.iterations, len(self.digest)
        )
        return hmac.compare_digest(derived, self.digest)


def parse(text: str) -> Pbkdf2Hash | None:
    """Return the PBKDF2 hash that *text* is, or None."""
    if found := _DJANGO.fullmatch(text):
        hash_name, iterations, salt_text, digest_text = found.groups()
        salt, digest = salt_text.encode("ascii"), from_base64(digest_text)
    elif found := _PASSLIB.fullmatch(text):
        suffix, iterations, salt_text, digest_text = found.groups()
        hash_name = suffix.removeprefix("-") or "sha1"
        salt, digest = _from_adapted_base64(salt_text), _from_adapted_base64(digest_text)
    else:
        return None
    if salt is None or digest is None:
        return None
    return Pbkdf2Hash(hash_name, int(iterations), salt, digest)


def dummy(label: str, seed: bytes) -> str | None:
    """Return a hash of the scheme in *label* that no password fits; None for another's label."""
    found = _LABEL.fullmatch(label)
    if not found:
        return None
    hash_name, iterations = found.groups()
    drawn = noise(seed, 16 + _DIGEST_BYTES[hash_name])
    return f"pbkdf2_{hash_name}${iterations}${drawn[:16].hex()}${to_base64(drawn[16:])}"


def _from_adapted_base64(text: str) -> bytes | None:
    """Read passlib's base64, which has a dot for the plus; an empty text is no bytes."""
    return from_base64(text.replace(".", "+")) if text else b""
