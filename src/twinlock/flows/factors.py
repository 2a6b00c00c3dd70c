"""Listing, renaming and removing authenticators, and making recovery codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Acr, Continued, NoSecondFactor, SubjectId
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import (
    Authenticator,
    Authenticators,
    AwaitsEnrollment,
    SealBroken,
)
from twinlock.factors.protocol import Describes, NamesAccounts
from twinlock.factors.registry import Factors
from twinlock.flows import mailed_codes, mailing
from twinlock.flows.changes import Allowed, Changes, Replaced
from twinlock.flows.demands import demands_of
from twinlock.flows.enrolling import tell_of_factor
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired
from twinlock.flows.own_acts import record_own
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind

Other = TypeVar("Other", bound=StepUpRequired | Refused | Denied)

NO_FACTOR = Refused("no_second_factor", "Recovery codes come with the first second factor.")
LAST_PASSKEY = Refused(
    "last_passkey", "This account has no password: its last passkey is its only way in."
)
_MAX_CANDIDATES = 21
LAST_FACTOR = Refused(
    "last_factor", "A policy demands this second factor. Enroll another before you remove it."
)
NOT_FOUND = Refused("not_found", "There is no such authenticator.")


@dataclass(frozen=True, slots=True)
class FactorList:
    """What an account has.

    Attributes:
        details: What a factor knows of its authenticators beside that, by id.
    """

    authenticators: Sequence[Authenticator]
    recovery_codes_left: int
    details: Mapping[str, Mapping[str, str | bool | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FactorsChanged:
    """A change took hold: every session ended, and this one was replaced.

    Attributes:
        authenticator: The new one; None unless one was enrolled.
        recovery_codes: A new set, shown this once; empty where none was made.
    """

    signed_in: SignedIn
    authenticator: Authenticator | None = None
    recovery_codes: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Changed:
    replaced: Replaced
    authenticator: Authenticator | None = None
    recovery_codes: Sequence[str] = field(default=(), repr=False)


class FactorManagement:
    """Changes what an account has. Each change wants a fresh proof and ends every session."""

    def __init__(self, parts: Parts, verifying: Verifying, changes: Changes) -> None:
        self._parts = parts
        self._verifying = verifying
        self._changes = changes

    def list_factors(self, user: User) -> FactorList | Denied:
        """Return the account's authenticators and how many recovery codes are left."""
        return self._parts.database.reading(self._list, user)

    def rename(
        self, user: User, authenticator_id: str, label: str, caller: Caller, *, now: datetime
    ) -> Authenticator | StepUpRequired | Refused | Denied:
        """Give an authenticator another label; it ends nothing."""
        return self._parts.database.transaction(
            self._rename, user, authenticator_id, label, caller, now=now
        )

    def remove(
        self,
        user: User,
        authenticator_id: str,
        caller: Caller,
        *,
        transport: Transport,
        now: datetime,
    ) -> FactorsChanged | StepUpRequired | Refused | Denied:
        """Remove an authenticator; with the last one the recovery codes die."""
        done = self._parts.database.transaction(
            self._remove, user, authenticator_id, caller, transport, now=now
        )
        return self._told(done, now=now)

    def make_recovery_codes(
        self, user: User, caller: Caller, *, transport: Transport, now: datetime
    ) -> FactorsChanged | StepUpRequired | Refused | Denied:
        """Make a new set of recovery codes; the old one is dead."""
        done = self._parts.database.transaction(
            self._make_recovery_codes, user, caller, transport, now=now
        )
        return self._told(done, now=now)

    def holds_recovery_code(self, user: User, answer: str, *, now: datetime) -> bool:
        """Tell the account's owner whether a code that was kept is one of the account's; note it.

        It spends nothing and counts nothing: 120 bits are guessed by nobody. A whole list may
        be given, of which the first code that fits decides.
        """
        candidates = [answer, *answer.split()][:_MAX_CANDIDATES]
        return self._parts.database.transaction(
            self._holds_recovery_code, user, candidates, now=now
        )

    def recovery_codes_left(self, account: SubjectId) -> int:
        """Return how many recovery codes an account has left."""
        return self._parts.database.reading(self._parts.recovery_codes.count_left, account)

    def _holds_recovery_code(
        self, tx: Connection, user: User, candidates: Sequence[str], *, now: datetime
    ) -> bool:
        codes = self._parts.recovery_codes
        is_held = any(codes.holds(tx, user.id, candidate) for candidate in candidates)
        if is_held:
            codes.note_kept(tx, user.id, now=now)
        return is_held

    def _list(self, db: Connection, user: User) -> FactorList | Denied:
        account = self._parts.accounts.get(db, user.id)
        factors = self._verifying.factors_of(db, account)
        match factors:
            case Authenticators(all=those):
                left = self._parts.recovery_codes.count_left(db, user.id)
                return FactorList(those, left, describe_all(self._parts.factors, db, user.id))
            case NoSecondFactor():
                return FactorList((), 0)
            case AwaitsEnrollment() | SealBroken():
                return Denied()

    def _rename(
        self,
        tx: Connection,
        user: User,
        authenticator_id: str,
        label: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Authenticator | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        one = next((one for one in allowed.authenticators if one.id == authenticator_id), None)
        if one is None:
            return NOT_FOUND
        authenticators.rename_authenticator(tx, user.id, authenticator_id, label=label)
        record_own(
            tx,
            EventType.FACTOR_RENAMED,
            user,
            caller,
            method=one.method,
            details={"label": label, "authenticator": one.id},
            now=now,
        )
        return replace(one, label=label)

    def _remove(
        self,
        tx: Connection,
        user: User,
        authenticator_id: str,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> _Changed | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        removed = next((one for one in allowed.authenticators if one.id == authenticator_id), None)
        if removed is None:
            return NOT_FOUND
        left = [one for one in allowed.authenticators if one is not removed]
        if is_only_way_in(self._parts, allowed.account, removed, left=left):
            return LAST_PASSKEY
        if not self._is_enough(tx, allowed.account, left, now=now):
            return LAST_FACTOR
        changed = self._changes.replace_session(
            tx, allowed.account, left, Continued(user.context), user, caller, transport, now=now
        )
        if isinstance(changed, Denied):
            return changed
        if removed.last_used_at is not None and allowed.account.password_mailed_at is not None:
            self._keep_trust(tx, allowed.account, removed)
        authenticators.delete_authenticator(tx, user.id, removed.id)
        factor = self._parts.factors.get(removed.method)
        if factor is not None:
            factor.remove(tx, user.id, removed.id)
        if not left:
            self._parts.recovery_codes.remove_all(tx, user.id)
        record_own(
            tx,
            EventType.FACTOR_REMOVED,
            user,
            caller,
            method=removed.method,
            details={"label": removed.label, "authenticator": removed.id},
            now=now,
        )
        tell_of_factor(tx, self._parts, allowed.account, Kind.FACTOR_REMOVED, removed, now=now)
        return _Changed(changed)

    def _keep_trust(self, tx: Connection, account: Account, removed: Authenticator) -> None:
        """Remember that another factor than the mailbox was used, when that factor goes."""
        if mailed_codes.are_apart(self._parts, account, (removed,)):
            accounts.trust_password(tx, account.host_id)

    def _is_enough(
        self, tx: Connection, account: Account, left: Sequence[Authenticator], *, now: datetime
    ) -> bool:
        """Tell whether what is left lets the account sign in under its policies."""
        demands = demands_of(tx, self._parts, account, now=now)
        if not demands.second_factor:
            return True
        kept = [factor for one in left if (factor := self._parts.factors.get(one.method))]
        if demands.acr is Acr.PHR:
            return any(factor.is_phishing_resistant for factor in kept)
        return bool(kept)

    def _make_recovery_codes(
        self,
        tx: Connection,
        user: User,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> _Changed | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        if not allowed.authenticators:
            return NO_FACTOR
        changed = self._changes.replace_session(
            tx,
            allowed.account,
            allowed.authenticators,
            Continued(user.context),
            user,
            caller,
            transport,
            now=now,
        )
        if isinstance(changed, Denied):
            return changed
        codes = self._parts.recovery_codes.create(tx, user.id, now=now)
        record_own(tx, EventType.RECOVERY_CODES_CREATED, user, caller, now=now)
        mailing.notify(tx, self._parts, allowed.account, Kind.RECOVERY_CODES_CREATED, now=now)
        return _Changed(changed, recovery_codes=codes)

    def _told(self, done: _Changed | Other, *, now: datetime) -> FactorsChanged | Other:
        """Return what the client gets, now that the transaction is committed."""
        if not isinstance(done, _Changed):
            return done
        signed_in = self._changes.tell(done.replaced, now=now)
        return FactorsChanged(signed_in, done.authenticator, done.recovery_codes)


def describe_all(
    factors: Factors, db: Connection, account: SubjectId
) -> Mapping[str, Mapping[str, str | bool | None]]:
    """Return what factors know of an account's authenticators, by authenticator id."""
    described: dict[str, Mapping[str, str | bool | None]] = {}
    for factor in factors:
        if isinstance(factor, Describes):
            described |= factor.describe(db, account)
    return described


def is_only_way_in(
    parts: Parts, account: Account, removed: Authenticator, *, left: Sequence[Authenticator]
) -> bool:
    """Tell whether an account without a password signs in by *removed* and nothing else."""
    if account.password_hash is not None or not parts.sees_passwords:
        return False
    alone = {factor.method for factor in parts.factors if isinstance(factor, NamesAccounts)}
    return removed.method in alone and not any(one.method in alone for one in left)
