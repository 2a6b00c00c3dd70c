"""How many tries are let through, and how long one must wait after too many: exact and pure.

A count remembers the moments of its last tries, newest first, each in eight bytes: microseconds
since 1970, big-endian, so that bytes compare as times do. "At most n in any window" then reads:
the n-th moment lies a whole window back. Nothing is rounded into buckets, a try leaves the count
exactly one window after it was made, and ``store.py`` can ask for it in one statement.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from twinlock.core.errors import ConfigurationError

MICROSECOND: Final = timedelta(microseconds=1)
MOMENT_BYTES: Final = 8
MAX_LIMITS: Final = 3
MAX_TRIES: Final = 1_000
"""The most that a limit may allow: what is remembered is rewritten at each try."""
SHORT_CODE_STOP: Final = 100
"""Wrong second-factor answers in a row after which short codes (TOTP, mailed) count no more."""
CLOCK_SKEW: Final = timedelta(minutes=1)
"""Moments so far ahead come from another host or a request that overtook; later ones do not."""

Kind = Literal["network", "browser"]
NETWORK: Final = "network"
BROWSER: Final = "browser"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many tries in any window of this length."""

    max_tries: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits that hold together for one count.

    Attributes:
        name: Names the rule in rows and logs.
        limits: One to three, each longer and wider than the one before.
        trickle: Once the limits are reached, one more try is let through each time so long
            has passed since the last; None lets none through.
        counts_in_a_row: Whether tries since the last right answer are counted as well.
    """

    name: str
    limits: tuple[Limit, ...]
    trickle: timedelta | None = None
    counts_in_a_row: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be counted.

        Raises:
            ConfigurationError: No limit, too many, out of order, or out of range.
        """
        tries = [limit.max_tries for limit in self.limits]
        windows = [limit.window for limit in self.limits]
        if not 1 <= len(self.limits) <= MAX_LIMITS:
            raise ConfigurationError(f"throttle {self.name}: takes 1 to {MAX_LIMITS} limits")
        if not all(1 <= count <= MAX_TRIES for count in tries) or min(windows) <= timedelta(0):
            raise ConfigurationError(f"throttle {self.name}: 1 to {MAX_TRIES} tries in a window")
        if sorted(set(tries)) != tries or sorted(set(windows)) != windows:
            raise ConfigurationError(f"throttle {self.name}: limits must grow in both numbers")

    @property
    def longest(self) -> Limit:
        """The limit with the longest window."""
        return self.limits[-1]

    @property
    def kept(self) -> int:
        """How many moments are remembered.

        With a trickle one more than its limit: the try that a right answer gives back must
        not have pushed out one that still counts.
        """
        return self.longest.max_tries + (self.trickle is not None)


SECOND_FACTOR: Final = Rule(
    "second_factor",
    (
        Limit(5, timedelta(minutes=5)),
        Limit(20, timedelta(hours=1)),
        Limit(50, timedelta(hours=24)),
    ),
    counts_in_a_row=True,
)
"""One count per account for all methods, doors and sessions."""
SECOND_FACTOR_DECOY: Final = Rule("second_factor_decoy", SECOND_FACTOR.limits)
"""Costs what a second-factor try costs, and is forgotten: it belongs to nobody."""
PASSWORD_NETWORK: Final = Rule("password_network", (Limit(100, timedelta(hours=1)),))
PASSWORD_ACCOUNT_NETWORK: Final = Rule(
    "password_account_network", (Limit(10, timedelta(minutes=10)),)
)
PASSWORD_STRANGERS: Final = Rule(
    "password_strangers", (Limit(100, timedelta(hours=24)),), trickle=timedelta(minutes=1)
)
"""All strangers to an account together, whatever their networks."""
PASSWORD_KNOWN_BROWSER: Final = Rule("password_known_browser", (Limit(10, timedelta(minutes=10)),))

MAILS: Final = Rule("mails", (Limit(5, timedelta(hours=24)),))
"""Of one kind, for one account."""
MAILS_FOR_STRANGERS: Final = Rule("mails", (Limit(4, timedelta(hours=24)),))
"""The same count: the last mail of a day is left to browsers that the account knows."""
MAILED_CODES: Final = Rule("mailed_codes", (Limit(20, timedelta(hours=24)),))
"""Codes by mail for one account, whatever they are for."""
MAILED_CODES_FOR_STRANGERS: Final = Rule("mailed_codes", (Limit(19, timedelta(hours=24)),))
"""The same count, likewise."""
RECOVERY_NETWORK: Final = Rule("recovery_network", (Limit(100, timedelta(hours=1)),))


PASSKEY_NETWORK: Final = Rule("passkey_network", (Limit(100, timedelta(hours=1)),))
"""Answers of passkeys that come without a password, whomever they name."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A rule and the keyed digest of what it counts for."""

    rule: Rule
    key: bytes


@dataclass(frozen=True, slots=True)
class Familiar:
    """What an account has fully signed in from before."""

    network: bool
    browser: bool


@dataclass(frozen=True, slots=True)
class FamiliarFor:
    """How long after a full sign-in its network and browser are no strangers to the account."""

    network: timedelta = timedelta(days=30)
    browser: timedelta = timedelta(days=180)


FAMILIAR_FOR: Final = FamiliarFor()


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """Every rule of an installation."""

    second_factor: Rule = SECOND_FACTOR
    second_factor_decoy: Rule = SECOND_FACTOR_DECOY
    password_network: Rule = PASSWORD_NETWORK
    password_account_network: Rule = PASSWORD_ACCOUNT_NETWORK
    password_strangers: Rule = PASSWORD_STRANGERS
    password_known_browser: Rule = PASSWORD_KNOWN_BROWSER
    passkey_network: Rule = PASSKEY_NETWORK
    mails: Rule = MAILS
    mails_for_strangers: Rule = MAILS_FOR_STRANGERS
    mailed_codes: Rule = MAILED_CODES
    mailed_codes_for_strangers: Rule = MAILED_CODES_FOR_STRANGERS
    recovery_network: Rule = RECOVERY_NETWORK
    familiar_for: FamiliarFor = FAMILIAR_FOR

    def password_rules(
        self,
        *,
        network: bytes,
        account_network: bytes,
        strangers: bytes,
        browser: bytes | None,
        familiar: Familiar,
    ) -> tuple[Counted, ...]:
        """Return the counts that one try of a password belongs to, in the order of taking.

        A browser known to the account has a count of its own instead of all others, so that
        no stranger can lock its owner out. Otherwise the network comes first: what it may do
        bounds how many rows it can make. Strangers share a last count; who comes from a
        network of a full sign-in does not belong to them.

        Args:
            network: Keyed digest of the network.
            account_network: Of account, or name that nobody has, and network.
            strangers: Of account, or name that nobody has.
            browser: Of account and ``known`` cookie; None when the browser sent none.
            familiar: What the account has signed in from before.
        """
        if familiar.browser and browser is not None:
            return (Counted(self.password_known_browser, browser),)
        counted = (
            Counted(self.password_network, network),
            Counted(self.password_account_network, account_network),
        )
        if familiar.network:
            return counted
        return (*counted, Counted(self.password_strangers, strangers))


@dataclass(frozen=True, slots=True)
class Admitted:
    """The try may be made.

    Attributes:
        recent: The count with this try in it.
        moment: What stands for this try in it.
    """

    recent: bytes
    moment: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many tries were made; this one was not looked at.

    Attributes:
        retry_after: How long until a try is let through: above zero, and at most the longest
            window of the rule that is full (24 h). `Retry-After` tells it in whole seconds.
        key: The digest of the count that is full, for logs; None where a bare count was asked.
    """

    retry_after: timedelta
    key: bytes | None = field(default=None, compare=False, repr=False)


def admit(recent: bytes, rule: Rule, *, now: datetime) -> Admitted | Throttled:
    """Count a try, or say how long to wait until one will be let through.

    Args:
        recent: What `Admitted` gave last; anything else is read as `repaired` reads it.
        rule: That of the count.
        now: The moment of the try.
    """
    moments = unpack(repaired(recent, rule, now=now))
    present = moment_of(now)
    wait = _wait(moments, rule, present)
    if wait > 0:
        return Throttled(wait * MICROSECOND)
    moment = max(present, moments[0]) if moments else present
    return Admitted(pack([moment, *moments[: rule.kept - 1]]), moment)


def repaired(recent: bytes, rule: Rule, *, now: datetime) -> bytes:
    """Return a count that can be counted on; *recent* itself if it is one.

    A clock that was set back leaves moments in the future: they count as made now. A damaged
    count tells nothing, so it counts as full: either way the longest window is the longest wait.
    """
    present = moment_of(now)
    if is_damaged(recent):
        return pack([present] * rule.longest.max_tries)
    moments = unpack(recent)
    if not moments or moments[0] <= present + CLOCK_SKEW // MICROSECOND:
        return recent
    return pack(min(moment, present) for moment in moments)


def is_damaged(recent: bytes) -> bool:
    """Tell whether these bytes are no moments in their order."""
    if len(recent) % MOMENT_BYTES:
        return True
    moments = unpack(recent)
    return moments != sorted(moments, reverse=True)


def without(recent: bytes, moment: int) -> bytes | None:
    """Return a count less one try of this moment, or None if it holds none."""
    moments = unpack(recent)
    if moment not in moments:
        return None
    moments.remove(moment)
    return pack(moments)


def expires_at(rule: Rule, *, now: datetime) -> datetime:
    """Return when a count last touched now will say nothing any more.

    In full hours, so that most tries need not move the row in its index.
    """
    end = now + rule.longest.window
    return end + (_EPOCH - end) % _HOUR


def moment_of(at: datetime) -> int:
    """Return a moment in microseconds since 1970, where all earlier ones count as 0."""
    return max(0, (at - _EPOCH) // MICROSECOND)


def pack(moments: Iterable[int]) -> bytes:
    """Return moments as bytes."""
    listed = list(moments)
    return struct.pack(f">{len(listed)}Q", *listed)


def unpack(recent: bytes) -> list[int]:
    """Return the moments of a count; what is left over at its end is ignored."""
    count = len(recent) // MOMENT_BYTES
    return list(struct.unpack_from(f">{count}Q", recent))


def _wait(moments: list[int], rule: Rule, present: int) -> int:
    """Return the microseconds until a try is let through; 0 or less when it is now."""
    waits = [
        min(moments[limit.max_tries - 1], present) + limit.window // MICROSECOND - present
        for limit in rule.limits
        if len(moments) >= limit.max_tries
    ]
    wait = max(waits, default=0)
    if rule.trickle is None or not moments:
        return wait
    return min(wait, min(moments[0], present) + rule.trickle // MICROSECOND - present)
