"""What accounts can reach, by what they have and may enroll: whether policies can be met."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.search import store as search
from twinlock.core.proof import Acr
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.demands import enrollable
from twinlock.flows.parts import Parts
from twinlock.policies.policy import Policy, demands_on

_ADMINS: Final = 200
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def best_acr(parts: Parts, methods: Sequence[str]) -> Acr:
    """Return the most that a password and one of these methods can prove."""
    found = [factor for factor in parts.factors if factor.method in methods]
    if any(factor.is_phishing_resistant for factor in found):
        return Acr.PHR
    return Acr.AAL2 if found else Acr.AAL1


def reachable_acr(db: Connection, parts: Parts, account: Account) -> Acr:
    """Return the most that an account can prove with what it has enrolled."""
    methods = authenticators.find_methods(db, [account.subject])
    return best_acr(parts, methods.get(account.subject, ()))


def leaves_an_admin(db: Connection, parts: Parts, policies: Sequence[Policy]) -> bool:
    """Tell whether an admin can still meet all these policies, at once or by enrolling."""
    admins = search.list_acting_admins(db, limit=_ADMINS)
    methods = authenticators.find_methods(db, [one.subject for one in admins])
    return not admins or any(
        _can_meet(parts, policies, one, methods.get(one.subject, ())) for one in admins
    )


def _can_meet(
    parts: Parts, policies: Sequence[Policy], admin: Account, methods: Sequence[str]
) -> bool:
    """Tell whether one admin can, when the last of the policies has come into force."""
    last = max((one.since for one in policies), default=_BEGINNING)
    then = demands_on(policies, admin.subject, admin.roles, now=last)
    return best_acr(parts, methods).satisfies(then.acr) or bool(enrollable(parts, admin, then))
