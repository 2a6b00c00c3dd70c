"""Stored password hashes: make one, compare a password with one, know when one is out of date.

A stored hash is Argon2id as this product writes it, or whatever was imported; ``password_hashes/``
has one module for each family. Text that is no hash, or one whose parameters would cost more than
about five seconds or 256 MiB, is *unusable*: no password fits it and comparing takes no time.

A login therefore never compares with an unusable hash, or the answer would come too soon. For an
account with none, or with an unusable one, and for a name that does not exist, it compares with
``dummy_hash(scheme, seed)``, which costs what a real one does and fits nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twinlock.accounts.password_hashes import argon2, bcrypt, pbkdf2, scrypt
from twinlock.accounts.password_hashes.stored import StoredHash
from twinlock.core.secrets import random_bytes

MAX_PASSWORD_LENGTH: Final = 1024  # characters; the longest that is ever hashed
UNUSABLE: Final = "unusable"  # what scheme_of says of such a text

_MAX_STORED_LENGTH = 512  # characters; the longest hash of any scheme here has about 250
_PARSERS: Sequence[Callable[[str], StoredHash | None]] = (
    argon2.parse,
    bcrypt.parse,
    pbkdf2.parse,
    scrypt.parse,
)
_DUMMIES: Sequence[Callable[[str, bytes], str | None]] = (
    argon2.dummy,
    bcrypt.dummy,
    pbkdf2.dummy,
    scrypt.dummy,
)


@dataclass(frozen=True, slots=True)
class HashProfile:
    """What a new Argon2id hash costs.

    Attributes:
        memory_kib: Memory in KiB, 8 for each lane or more.
        iterations: Passes over the memory.
        lanes: Degree of parallelism.
    """

    memory_kib: int = 19 * 1024
    iterations: int = 2
    lanes: int = 1

    @property
    def weakness(self) -> str | None:
        """What makes this profile unfit for production, or None.

        The floor is the contract's: m = 19 MiB, t = 2, p = 1.
        """
        if self.memory_kib < DEFAULT_PROFILE.memory_kib:
            return f"memory is below {DEFAULT_PROFILE.memory_kib} KiB"
        if self.iterations < DEFAULT_PROFILE.iterations:
            return f"iterations are below {DEFAULT_PROFILE.iterations}"
        return None


DEFAULT_PROFILE: Final = HashProfile()
FAST_PROFILE: Final = HashProfile(memory_kib=8, iterations=1)  # for tests; its weakness says so


def is_too_long(password: str) -> bool:
    """Tell whether *password* is longer than any that is ever hashed.

    A login that gets one still compares some other text with the hash, so that it takes as long.
    """
    return len(password) > MAX_PASSWORD_LENGTH


def hash_password(password: str, *, profile: HashProfile = DEFAULT_PROFILE) -> str:
    """Return a new Argon2id hash of *password* as a PHC string (RFC 9106).

    Raises:
        ValueError: *password* is one that ``check_new_password`` refuses in any case: longer than
            1,024 characters, with NUL, or with a lone surrogate.
    """
    as_bytes = _bytes_of(password)
    if as_bytes is None:
        raise ValueError("this text can not be a password")
    hashed = argon2.Argon2Hash.of(
        as_bytes,
        salt=random_bytes(argon2.SALT_BYTES),
        memory_kib=profile.memory_kib,
        iterations=profile.iterations,
        lanes=profile.lanes,
    )
    return str(hashed)


def is_password(stored: str, password: str) -> bool:
    """Tell whether *password* is the one that *stored* was made from.

    The password is taken as received, in UTF-8, neither trimmed nor normalised. Any two texts
    give an answer. One too long, with NUL or a lone surrogate fits nothing and is not hashed.
    """
    as_bytes = _bytes_of(password)
    found = _usable(stored)
    return as_bytes is not None and found is not None and found.matches(as_bytes)


def needs_upgrade(stored: str, *, profile: HashProfile = DEFAULT_PROFILE) -> bool:
    """Tell whether *stored* should be replaced by a new hash now that the password is at hand.

    True for every other scheme, and for an Argon2id weaker than *profile* in memory, iterations
    or length. A stronger one stays.
    """
    match _usable(stored):
        case argon2.Argon2Hash(variant="argon2id") as found:
            return (
                found.memory_kib < profile.memory_kib
                or found.iterations < profile.iterations
                or len(found.salt) < argon2.SALT_BYTES
                or len(found.digest) < argon2.DIGEST_BYTES
            )
        case _:
            return True


def scheme_of(stored: str) -> str:
    """Return the scheme of *stored* with all that its cost depends on, or ``UNUSABLE``.

    Examples: ``argon2id$m=19456,t=2,p=1``, ``bcrypt$12``, ``bcrypt_sha256$12``,
    ``pbkdf2_sha256$600000``, ``scrypt$n=16384,r=8,p=5``. Two hashes that take equally long have
    the same, whoever wrote them.
    """
    found = _usable(stored)
    return found.label if found else UNUSABLE


def problem_with_hash(stored: str) -> str | None:
    """Return why no password can ever fit *stored*, as half a sentence, or None if one can."""
    found = _parsed(stored)
    return found.problem if found else "it is no password hash of a known scheme"


def dummy_hash(scheme: str, seed: bytes) -> str:
    """Return a hash that no password fits, and that takes as long as one of *scheme*.

    Args:
        scheme: What ``scheme_of`` said of a stored hash. Anything else, ``UNUSABLE`` included,
            gives one of the default profile.
        seed: Salt and digest are drawn from it: the same seed gives the same hash. To be fit for
            a name that does not exist it is a keyed digest of the name.
    """
    for dummy in _DUMMIES:
        drawn = dummy(scheme, seed)
        if drawn is not None and _usable(drawn):
            return drawn
    default = argon2.Argon2Hash.drawn_from(
        seed,
        memory_kib=DEFAULT_PROFILE.memory_kib,
        iterations=DEFAULT_PROFILE.iterations,
        lanes=DEFAULT_PROFILE.lanes,
    )
    return str(default)


def _usable(stored: str) -> StoredHash | None:
    found = _parsed(stored)
    return found if found and found.problem is None else None


def _parsed(stored: str) -> StoredHash | None:
    if len(stored) > _MAX_STORED_LENGTH or not stored.isascii():
        return None
    return next((found for parse in _PARSERS if (found := parse(stored))), None)


def _bytes_of(password: str) -> bytes | None:
    """Return *password* in UTF-8, or None if it is none that could be hashed."""
    if is_too_long(password) or "\0" in password:
        return None
    try:
        return password.encode("utf-8")
    except UnicodeEncodeError:
        return None
