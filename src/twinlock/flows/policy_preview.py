"""Whom a policy would hit, counted before it is set, in bounded time among a million accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.core.principal import User
from twinlock.core.proof import Acr, SubjectId
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.account_listing import Wanted, find_in
from twinlock.flows.figures import COUNTED_AT_ONCE, read_population
from twinlock.flows.parts import Parts
from twinlock.policies.policy import Kind, Policy, demands_on, meets

_LOOKS: Final = 5
_EVERYTHING: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Preview:
    """What would follow.

    Attributes:
        accounts: How many accounts are under the policy.
        behind: How many of them do not meet it; None where they are too many to count.
        is_floor: Whether there may be more of both, because the search was stopped.
        replaced: The policy in whose place it comes.
        locks_out: Whether the admin who asks would lose access at once.
        is_coming: Whether it holds from a later moment on only.
        digest: Of all this, and of what was asked: a save must bring the same.
    """

    accounts: int
    behind: int | None
    is_floor: bool
    replaced: Policy | None
    locks_out: bool
    is_coming: bool
    digest: str

    @property
    def meet(self) -> int:
        """How many already meet it."""
        return self.accounts - (self.behind or 0)


def preview(parts: Parts, new: Policy, admin: User, *, since: str, now: datetime) -> Preview:
    """Count whom a policy would hit.

    Args:
        parts: The installation.
        new: The policy.
        admin: Who asks, with what the session proves.
        since: The date as it was asked for; part of the digest.
        now: The present moment.
    """
    return parts.database.reading(_preview, parts, new, admin, since=since, now=now)


def _preview(
    db: Connection, parts: Parts, new: Policy, admin: User, *, since: str, now: datetime
) -> Preview:
    policies = parts.policies.read(db)
    replaced = next((one for one in policies if one.target == new.target), None)
    others = [one for one in policies if one.target != new.target]
    after = demands_on([*others, new], admin.id, admin.roles, now=now)
    accounts, behind, is_floor = _count(db, parts, new)
    facts = (new.target, new.acr, ",".join(new.methods), str(new.trusts_devices),
             str(new.reminds), since, repr(replaced), str(accounts), str(behind))  # fmt: skip
    return Preview(
        accounts=accounts,
        behind=behind,
        is_floor=is_floor,
        replaced=replaced,
        locks_out=not admin.acr.satisfies(after.acr),
        is_coming=new.since > now,
        digest=parts.digest_key.digest("policy-preview", *facts).hex(),
    )


def _count(db: Connection, parts: Parts, new: Policy) -> tuple[int, int | None, bool]:
    strong = [one.method for one in parts.factors if one.is_phishing_resistant]
    match new.kind:
        case Kind.EVERYONE:
            return _everyone(db, new, strong)
        case Kind.ROLE:
            return _role(db, new, strong)
        case Kind.ACCOUNT:
            methods = authenticators.find_methods(db, [SubjectId(new.name)])
            has = meets(new.acr, methods.get(SubjectId(new.name), ()), strong)
            return 1, int(not has), False


def _everyone(db: Connection, new: Policy, strong: Sequence[str]) -> tuple[int, int | None, bool]:
    accounts, holders = read_population(db)
    if new.acr is Acr.PHR:
        meet = authenticators.count_holders_of(db, strong, limit=COUNTED_AT_ONCE)
        if meet == COUNTED_AT_ONCE:
            return accounts.number, None, accounts.is_floor
    else:
        meet = holders.number
    return accounts.number, max(0, accounts.number - meet), accounts.is_floor


def _role(db: Connection, new: Policy, strong: Sequence[str]) -> tuple[int, int | None, bool]:
    accounts = behind = 0
    cursor: str | None = None
    for _ in range(_LOOKS):
        found = find_in(db, Wanted(role=new.name), cursor=cursor, limit=_EVERYTHING)
        accounts += len(found.found)
        behind += sum(not meets(new.acr, one.methods, strong) for one in found.found)
        cursor = found.next_cursor
        if cursor is None:
            break
    return accounts, behind, cursor is not None
