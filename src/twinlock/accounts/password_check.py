"""Checking a password so that nobody learns from time or answer whether the account exists."""

import bisect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from twinlock.accounts.directory import Account
from twinlock.accounts.names import login_key
from twinlock.accounts.passwords import (
    UNUSABLE,
    HashProfile,
    dummy_hash,
    hash_password,
    is_password,
    is_too_long,
    needs_upgrade,
    scheme_of,
)
from twinlock.core.keyring import DigestKey
from twinlock.core.proof import Reason, Rejected, SubjectId, Verified

METHOD: Final = "password"
AMR: Final = ("pwd",)


@dataclass(frozen=True, slots=True)
class NewHash:
    """A hash of the newest kind, with the scheme by which its like are counted."""

    password_hash: str = field(repr=False)
    scheme: str


@dataclass(frozen=True, slots=True)
class RightPassword:
    """The password was right.

    Attributes:
        stored: The hash that it fits.
        is_outdated: Whether that hash is older or weaker than today's kind.
    """

    verified: Verified
    stored: str = field(repr=False)
    is_outdated: bool


class PasswordCheck:
    """Compares passwords with hashes, one hash per call; runs on the hash pool's threads.

    A name that nobody has is compared with a dummy of the scheme that a keyed digest of the
    name picks, in the proportions in which the accounts hold schemes: the same each time.
    """

    def __init__(self, digest_key: DigestKey, profile: HashProfile) -> None:
        self._digest_key = digest_key
        self._profile = profile
        self._proportions: tuple[tuple[str, ...], tuple[int, ...]] = ((), ())

    def set_proportions(self, schemes: Mapping[str, int]) -> None:
        """Take over how many accounts hold hashes of each scheme."""
        known = sorted((scheme, count) for scheme, count in schemes.items() if scheme != UNUSABLE)
        self._proportions = (  # replaced as a whole: hash threads are reading it
            tuple(scheme for scheme, _ in known),
            tuple(itertools.accumulate(count for _, count in known)),
        )

    def check(
        self, account: Account | None, name: str, password: str, *, now: datetime
    ) -> RightPassword | Rejected:
        """Compare *password* with the account's hash, or with a dummy where there is none."""
        stored = account.password_hash if account else None
        if stored is None or scheme_of(stored) == UNUSABLE:
            stored = self._dummy(name)
            account = None
        is_right = is_password(stored, "" if is_too_long(password) else password)
        if account is None or not is_right or is_too_long(password):
            return Rejected(Reason.WRONG_PASSWORD)
        verified = Verified(account.subject, METHOD, AMR, now)
        return RightPassword(verified, stored, needs_upgrade(stored, profile=self._profile))

    def new_hash(self, password: str) -> NewHash:
        """Return a hash of today's profile.

        Raises:
            ValueError: The password is one that the policy refuses in any case.
        """
        fresh = hash_password(password, profile=self._profile)
        return NewHash(fresh, scheme_of(fresh))

    def _dummy(self, name: str) -> str:
        seed = self._digest_key.digest("dummy-hash", login_key(name).text)
        schemes, up_to = self._proportions
        if not schemes:
            return dummy_hash(scheme_of_profile(self._profile), seed)
        drawn = int.from_bytes(seed[:8], "big") % up_to[-1]
        return dummy_hash(schemes[bisect.bisect_right(up_to, drawn)], seed)


def shown_earlier(account: SubjectId, *, at: datetime) -> Verified:
    """Return the password proof that a pending login stands for, since that moment."""
    return Verified(account, METHOD, AMR, at)


def scheme_of_profile(profile: HashProfile) -> str:
    """Return the scheme of hashes that *profile* makes."""
    return f"argon2id$m={profile.memory_kib},t={profile.iterations},p={profile.lanes}"


def vouched(account: Account | None, *, is_right: bool, now: datetime) -> RightPassword | Rejected:
    """Take over what the host, which holds the hashes, says of a password."""
    if account is None or not is_right:
        return Rejected(Reason.WRONG_PASSWORD)
    verified = Verified(account.subject, METHOD, AMR, now)
    return RightPassword(verified, stored="", is_outdated=False)
