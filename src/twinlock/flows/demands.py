"""What the policies demand of an account, and whether a session meets it."""

from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.core.proof import Acr
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticators
from twinlock.factors.protocol import Factor
from twinlock.flows import mailed_codes
from twinlock.flows.parts import Parts
from twinlock.policies.policy import Demands, demands_on


def demands_of(db: Connection, parts: Parts, account: Account, *, now: datetime) -> Demands:
    """Return what an account needs; costs one statement.

    Raises:
        SealBrokenError: Somebody else wrote the policies.
    """
    return demands_on(parts.policies.read(db), account.subject, account.roles, now=now)


def is_enough(db: Connection, parts: Parts, account: Account, acr: Acr, *, now: datetime) -> bool:
    """Tell whether a session that proved *acr* may go on under the policies of today.

    Where devices are trusted, the session of one proves less, and the account's second factor
    once stood behind it; an account without any has none that could.
    """
    demands = demands_of(db, parts, account, now=now)
    if acr.satisfies(demands.acr):
        return True
    return demands.trusts_devices and has_second_factor(db, parts, account)


def has_second_factor(db: Connection, parts: Parts, account: Account) -> bool:
    """Tell whether a second factor stands behind an account, as its seal says."""
    found = authenticators.find_authenticators(
        db,
        parts.keyring,
        account=account.subject,
        generation=account.generation,
        seal=account.seal,
        awaits_enrollment=account.awaits_enrollment,
    )
    return isinstance(found, Authenticators)


def may_meet(factor: Factor, demands: Demands) -> bool:
    """Tell whether the enrollment of *factor* would meet what is demanded now."""
    return (
        factor.max_per_account > 0
        and demands.may_enroll(factor.method)
        and (demands.acr is not Acr.PHR or factor.is_phishing_resistant)
    )


def enrollable(parts: Parts, account: Account, demands: Demands) -> tuple[str, ...]:
    """Return the methods that an account may enroll now to meet what is demanded of it."""
    return tuple(
        factor.method
        for factor in parts.factors
        if may_meet(factor, demands)
        and not (factor.is_mailed and mailed_codes.why_not_enroll(parts, account, ()))
    )
