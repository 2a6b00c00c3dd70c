"""Argon2 (RFC 9106) in PHC strings: ours, argon2-cffi's, pwdlib's, and Django's ``argon2$…``.

``cryptography`` does the work: it releases the GIL, and costs less CPU than argon2-cffi.
"""

import re
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2d, Argon2i, Argon2id

from twinlock.accounts.password_hashes.stored import (
    digest_problem,
    from_base64,
    noise,
    to_base64,
)

MAX_MEMORY_KIB = 256 * 1024
MAX_ITERATIONS = 20
MAX_LANES = 16
SALT_BYTES = 16  # RFC 9106 section 4
DIGEST_BYTES = 32

_MIN_SALT_BYTES = 8  # what the implementations accept

_VARIANTS: dict[str, type[Argon2id | Argon2i | Argon2d]] = {
    "argon2id": Argon2id,
    "argon2i": Argon2i,
    "argon2d": Argon2d,
}
_VERSION = "19"  # 1.3, the one that RFC 9106 defines
_NUMBER = r"[1-9][0-9]{0,9}"
_PARAMETERS = rf"m=({_NUMBER}),t=({_NUMBER}),p=({_NUMBER})"
_PHC = re.compile(
    rf"(?:argon2)?\$(argon2(?:id|i|d))(?:\$v=([0-9]+))?\${_PARAMETERS}"
    r"\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_LABEL = re.compile(rf"(argon2(?:id|i|d))\${_PARAMETERS}")


@dataclass(frozen=True, slots=True)
class Argon2Hash:
    """One Argon2 hash, taken apart."""

    variant: str
    version: str
    memory_kib: int
    iterations: int
    lanes: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(
        cls, password: bytes, *, salt: bytes, memory_kib: int, iterations: int, lanes: int
    ) -> Self:
        """Hash *password* with Argon2id."""
        function = Argon2id(
            salt=salt,
            length=DIGEST_BYTES,
            iterations=iterations,
            lanes=lanes,
            memory_cost=memory_kib,
        )
        digest = function.derive(password)
        return cls("argon2id", _VERSION, memory_kib, iterations, lanes, salt, digest)

    @classmethod
    def drawn_from(
        cls,
        seed: bytes,
        *,
        memory_kib: int,
        iterations: int,
        lanes: int,
        variant: str = "argon2id",
    ) -> Self:
        """Make a hash that no password fits."""
        drawn = noise(seed, SALT_BYTES + DIGEST_BYTES)
        salt, digest = drawn[:SALT_BYTES], drawn[SALT_BYTES:]
        return cls(variant, _VERSION, memory_kib, iterations, lanes, salt, digest)

    def __str__(self) -> str:
        """Return the PHC string."""
        salt, digest = to_base64(self.salt), to_base64(self.digest)
        return f"${self.variant}$v={self.version}${self._cost}${salt}${digest}"

    @property
    def label(self) -> str:
        """Variant, memory, iterations and lanes."""
        return f"{self.variant}${self._cost}"

    @property
    def problem(self) -> str | None:
        """Why this hash is never verified, or None."""
        if self.version != _VERSION:
            return "it is of Argon2 version 1.0 (v=16), which RFC 9106 replaced"
        if self.memory_kib > MAX_MEMORY_KIB:
            return f"its memory cost is above {MAX_MEMORY_KIB} KiB"
        if self.iterations > MAX_ITERATIONS:
            return f"its time cost is above {MAX_ITERATIONS}"
        if self.lanes > MAX_LANES:
            return f"its parallelism is above {MAX_LANES}"
        if self.memory_kib < 8 * self.lanes:
            return "its memory cost is below 8 KiB for each lane (RFC 9106 section 3.1)"
        if len(self.salt) < _MIN_SALT_BYTES:
            return f"its salt is shorter than {_MIN_SALT_BYTES} bytes"
        return digest_problem(self.digest)

    def matches(self, password: bytes) -> bool:
        """Hash *password* the same way and compare in constant time."""
        function = _VARIANTS[self.variant](
            salt=self.salt,
            length=len(self.digest),
            iterations=self.iterations,
            lanes=self.lanes,
            memory_cost=self.memory_kib,
        )
        try:
            function.verify(password, self.digest)
        except InvalidKey:
            return False
        return True

    @property
    def _cost(self) -> str:
        return f"m={self.memory_kib},t={self.iterations},p={self.lanes}"


def parse(text: str) -> Argon2Hash | None:
    """Return the Argon2 hash that *text* is, or None."""
    found = _PHC.fullmatch(text)
    if not found:
        return None
    variant, version, memory, iterations, lanes, salt_text, digest_text = found.groups()
    salt, digest = from_base64(salt_text), from_base64(digest_text)
    if salt is None or digest is None:
        return None
    return Argon2Hash(
        variant, version or "16", int(memory), int(iterations), int(lanes), salt, digest
    )


def dummy(label: str, seed: bytes) -> str | None:
    """Return a hash of the scheme in *label* that no password fits; None for another's label."""
    found = _LABEL.fullmatch(label)
    if not found:
        return None
    variant, *cost = found.groups()
    memory, iterations, lanes = map(int, cost)
    return str(
        Argon2Hash.drawn_from(
            seed, variant=variant, memory_kib=memory, iterations=iterations, lanes=lanes
        )
    )
