"""Who needs what by when: pure rules. The strictest of all that apply to an account wins."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from twinlock.core.principal import ADMIN
from twinlock.core.proof import Acr, SubjectId


class Kind(StrEnum):
    """Whom a policy is for, from the widest to the most specific."""

    EVERYONE = "everyone"
    ROLE = "role"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Policy:
    """What some accounts need.

    Attributes:
        name: The role, or the account's ``sub``; empty for everyone.
        acr: What their sign-in must prove.
        since: From when on; before it, a sign-in only reminds.
        methods: What they may enroll; empty for everything there is.
        trusts_devices: Whether a trusted device may stand for the second factor, by name.
        reminds: Whether mails remind of its date; the reply of each sign-in does so anyway.
    """

    kind: Kind
    name: str
    acr: Acr
    since: datetime
    methods: tuple[str, ...] = ()
    trusts_devices: bool = False
    reminds: bool = True

    @property
    def target(self) -> str:
        """Whom it is for, as the command line spells it."""
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)

    def is_for(self, subject: SubjectId, roles: Iterable[str]) -> bool:
        """Tell whether it applies to an account."""
        match self.kind:
            case Kind.EVERYONE:
                return True
            case Kind.ROLE:
                return self.name in roles
            case Kind.ACCOUNT:
                return self.name == subject


@dataclass(frozen=True, slots=True)
class Demands:
    """What one account needs, all its policies together.

    Attributes:
        acr: What a sign-in must prove now.
        next_acr: What it must prove from `due` on.
        due: When more will be demanded than now; None for never.
        methods: What may be enrolled; empty for everything there is.
        trusts_devices: Whether a trusted device may stand for the second factor.
        reminds: Whether mails remind of `due`, because one of the policies of that date says so.
        policies: Those that apply, the widest first.
    """

    acr: Acr
    next_acr: Acr
    due: datetime | None
    methods: tuple[str, ...]
    trusts_devices: bool
    reminds: bool
    policies: tuple[Policy, ...]

    @property
    def second_factor(self) -> bool:
        """Whether a password alone opens nothing."""
        return self.acr is not Acr.AAL1

    @property
    def is_coming(self) -> bool:
        """Whether a password alone opens nothing, now or from a date on that is known."""
        return self.next_acr is not Acr.AAL1

    def in_force(self, *, now: datetime) -> Policy | None:
        """Return the policy that has demanded the most for the longest; None for none."""
        strictest = [one for one in self.policies if one.since <= now and one.acr is self.acr]
        return (
            min(strictest, key=lambda one: one.since, default=None) if self.second_factor else None
        )

    def reminder(self, proven: Acr) -> datetime | None:
        """Return when a proof like *proven* will open nothing any more; None for never."""
        return None if self.due is None or proven.satisfies(self.next_acr) else self.due

    def may_enroll(self, method: str) -> bool:
        """Tell whether a method may be enrolled."""
        return not self.methods or method in self.methods


def demands_on(
    policies: Sequence[Policy], subject: SubjectId, roles: Iterable[str], *, now: datetime
) -> Demands:
    """Return what an account with *roles* needs."""
    held = frozenset(roles)
    mine = tuple(sorted((one for one in policies if one.is_for(subject, held)), key=_order))
    acr = _strongest(one.acr for one in mine if one.since <= now)
    coming = [one for one in mine if one.since > now and one.acr.rank > acr.rank]
    due = min((one.since for one in coming), default=None)
    return Demands(
        acr=acr,
        next_acr=_strongest([acr, *(one.acr for one in coming if one.since == due)]),
        due=due,
        methods=_methods(mine),
        trusts_devices=_trusts_devices(mine, held, now=now),
        reminds=any(one.reminds for one in coming if one.since == due),
        policies=mine,
    )


def meets(acr: Acr, methods: Iterable[str], strong: Collection[str]) -> bool:
    """Tell whether an account with these second factors can prove as much.

    Args:
        acr: What is demanded.
        methods: Its second factors' methods.
        strong: Those methods that resist phishing.
    """
    match acr:
        case Acr.AAL1:
            return True
        case Acr.AAL2:
            return any(methods)
        case Acr.PHR:
            return any(method in strong for method in methods)


def _trusts_devices(policies: Sequence[Policy], roles: frozenset[str], *, now: datetime) -> bool:
    """Tell whether no policy that demands a second factor forbids it.

    For admins some policy must allow it by name: their role's, or their account's.
    """
    demanding = [one for one in policies if one.since <= now and one.acr is not Acr.AAL1]
    if not all(one.trusts_devices for one in demanding):
        return False
    if ADMIN not in roles:
        return True
    return any(
        one.trusts_devices and (one.kind is Kind.ACCOUNT or one.name == ADMIN) for one in policies
    )


def _methods(policies: Sequence[Policy]) -> tuple[str, ...]:
    """Return what all policies allow; where that is nothing, the most specific one decides."""
    allowed: tuple[str, ...] = ()
    for one in policies:
        if one.methods:
            both = tuple(method for method in allowed if method in one.methods)
            allowed = both or one.methods
    return allowed


def _strongest(acrs: Iterable[Acr]) -> Acr:
    return max(acrs, key=lambda acr: acr.rank, default=Acr.AAL1)


def _order(one: Policy) -> tuple[int, str]:
    return list(Kind).index(one.kind), one.name
