"""Enrolling, renaming and removing authenticators, and making recovery codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.principal import User
from twinlock.core.proof import Acr, Continued, NoSecondFactor, Reason, Rejected, SubjectId
from twinlock.core.secrets import digest, new_id, new_secret
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import (
    Authenticator,
    Authenticators,
    AwaitsEnrollment,
    SealBroken,
)
from twinlock.factors.protocol import Describes, Factor, Holder, NamesAccounts
from twinlock.factors.registry import Factors
from twinlock.flows import mailing
from twinlock.flows.changes import Allowed, Changes, Replaced
from twinlock.flows.demands import demands_of
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose

Other = TypeVar("Other", bound=StepUpRequired | Refused | Denied)

UNKNOWN_METHOD = Refused("unknown_method", "There is no such method to enroll.")
TOO_MANY = Refused("too_many_authenticators", "Remove an authenticator of this method first.")
NO_FACTOR = Refused("no_second_factor", "Recovery codes come with the first second factor.")
ENROLLMENT_OVER = Refused(
    "enrollment_expired", "This enrollment is over or was answered too often. Begin again."
)
WRONG_ANSWER = Refused("wrong_answer", "That answer does not confirm the new authenticator.")
CLOCK_DRIFT = Refused(
    "clock_drift",
    "That code belongs to another time. Set the clock of your device to automatic and try again.",
)
LAST_PASSKEY = Refused(
    "last_passkey", "This account has no password: its last passkey is its only way in."
)
_MAX_CANDIDATES = 21
METHOD_NOT_ALLOWED = Refused(
    "method_not_allowed", "A policy does not let this account enroll that method."
)
LAST_FACTOR = Refused(
    "last_factor", "A policy demands this second factor. Enroll another before you remove it."
)
NOT_FOUND = Refused("not_found", "There is no such authenticator.")


@dataclass(frozen=True, slots=True)
class EnrollmentBegun:
    """An enrollment that waits for its confirming answer."""

    handle: str = field(repr=False)
    expires_in: timedelta
    options: dict[str, Any] = field(repr=False)


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

    def begin_enrollment(
        self, user: User, method: str, caller: Caller, *, now: datetime
    ) -> EnrollmentBegun | StepUpRequired | Refused | Denied:
        """Begin to enroll an authenticator; nothing changes until its answer confirms it."""
        factor = self._parts.factors.get(method)
        if factor is None or factor.max_per_account == 0:
            return UNKNOWN_METHOD
        return self._parts.database.transaction(
            self._begin_enrollment, user, factor, caller, now=now
        )

    def finish_enrollment(
        self,
        user: User,
        method: str,
        handle: str,
        answer: object,
        label: str,
        caller: Caller,
        *,
        transport: Transport,
        now: datetime,
    ) -> FactorsChanged | StepUpRequired | Refused | Denied:
        """Confirm an enrollment. The answer's try is counted before it is looked at."""
        factor = self._parts.factors.get(method)
        if factor is None or factor.max_per_account == 0:
            return UNKNOWN_METHOD
        begun = self._parts.database.transaction_once(
            self._count_answer, user, method, handle, now=now
        )
        if begun is None:
            return ENROLLMENT_OVER
        done = self._parts.database.transaction(
            self._finish_enrollment,
            user,
            factor,
            begun,
            answer,
            label,
            caller,
            transport,
            now=now,
        )
        return self._told(done, now=now)

    def rename(
        self, user: User, authenticator_id: str, label: str, caller: Caller, *, now: datetime
    ) -> Authenticator | Refused | Denied:
        """Give an authenticator another label."""
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

    def holds_recovery_code(self, user: User, answer: str) -> bool:
        """Tell the account's owner whether a code that was kept is one of the account's.

        It spends nothing and counts nothing: 120 bits are guessed by nobody. A whole list may
        be given, of which the first code that fits decides.
        """
        candidates = [answer, *answer.split()][:_MAX_CANDIDATES]
        return self._parts.database.reading(self._holds_recovery_code, user, candidates)

    def _holds_recovery_code(self, db: Connection, user: User, candidates: Sequence[str]) -> bool:
        held = self._parts.recovery_codes.holds
        return any(held(db, user.id, candidate) for candidate in candidates)

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

    def _begin_enrollment(
        self, tx: Connection, user: User, factor: Factor, caller: Caller, *, now: datetime
    ) -> EnrollmentBegun | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        account = allowed.account
        if _is_full(factor, allowed.authenticators):
            return TOO_MANY
        if not demands_of(tx, self._parts, account, now=now).may_enroll(factor.method):
            return METHOD_NOT_ALLOWED
        if not accounts.lock_subject(tx, account.subject, seen=account.generation):
            return Denied()  # and the cap on what is pending holds from several sides at once
        holder = Holder(account.subject, account.username, account.full_name or account.username)
        prompt = factor.begin_enrollment(tx, holder, now=now)
        handle = new_secret()
        lifetime = self._parts.lifetimes.enrollment
        begun = Pending(
            digest=digest(handle),
            purpose=Purpose.ENROLLMENT,
            subject=account.subject,
            generation=account.generation,
            session_id=user.session_id,
            method=factor.method,
            acr=None,
            proven_at=None,
            scope=(),
            state=None,
            tries=0,
            expires_at=now + lifetime,
            created_at=now,
        )
        sealed = self._verifying.seal_state(prompt.state or b"", begun)
        pending_store.insert_pending(tx, begun)
        pending_store.set_state(tx, begun.digest, state=sealed)
        pending_store.delete_oldest(tx, begun, kept=self._parts.lifetimes.max_pending)
        self._record(
            tx, EventType.FACTOR_ENROLLMENT_BEGUN, user, caller, method=factor.method, now=now
        )
        return EnrollmentBegun(handle, lifetime, prompt.options)

    def _count_answer(
        self, tx: Connection, user: User, method: str, handle: str, *, now: datetime
    ) -> Pending | None:
        begun = pending_store.take_try(
            tx,
            digest(handle),
            purpose=Purpose.ENROLLMENT,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        if (
            begun is None
            or begun.subject != user.id
            or begun.session_id != user.session_id
            or begun.method != method
        ):
            return None
        return begun

    def _finish_enrollment(
        self,
        tx: Connection,
        user: User,
        factor: Factor,
        begun: Pending,
        answer: object,
        label: str,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> _Changed | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        if begun.generation != allowed.account.generation:
            return ENROLLMENT_OVER
        if _is_full(factor, allowed.authenticators):
            return TOO_MANY
        # Holding the subject's row keeps every other change out until this one is decided.
        if not accounts.lock_subject(tx, allowed.account.subject, seen=allowed.account.generation):
            return Denied()
        enrolled = Authenticator(
            id=new_id(),
            method=factor.method,
            label=label,
            code_digits=factor.code_digits,
            created_at=now,
            last_used_at=now,
        )
        try:
            state = self._verifying.open_state(begun) or b""
        except SealBrokenError:
            return ENROLLMENT_OVER
        checked = factor.finish_enrollment(tx, user.id, enrolled.id, state, answer, now=now)
        if isinstance(checked, Rejected):
            self._record(
                tx,
                EventType.FACTOR_ENROLLMENT_DENIED,
                user,
                caller,
                method=factor.method,
                reason=checked.reason,
                now=now,
            )
            return CLOCK_DRIFT if checked.reason is Reason.CLOCK_DRIFT else WRONG_ANSWER
        authenticators.insert_authenticator(tx, user.id, enrolled)
        recovery_codes: Sequence[str] = ()
        if not allowed.authenticators:
            recovery_codes = self._parts.recovery_codes.create(tx, user.id, now=now)
        self._record(
            tx,
            EventType.FACTOR_ENROLLED,
            user,
            caller,
            method=factor.method,
            details={"label": label, "authenticator": enrolled.id},
            now=now,
        )
        changed = self._changes.replace_session(
            tx,
            allowed.account,
            [*allowed.authenticators, enrolled],
            Continued(user.context, checked),
            user,
            caller,
            transport,
            now=now,
        )
        if isinstance(changed, Denied):
            return changed
        tell_of_factor(tx, self._parts, allowed.account, Kind.FACTOR_ADDED, enrolled, now=now)
        return _Changed(changed, enrolled, recovery_codes)

    def _rename(
        self,
        tx: Connection,
        user: User,
        authenticator_id: str,
        label: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Authenticator | Refused | Denied:
        account = self._parts.accounts.get(tx, user.id)
        factors = self._verifying.factors_of(tx, account)
        if not isinstance(factors, Authenticators):
            return NOT_FOUND if isinstance(factors, NoSecondFactor) else Denied()
        one = factors.get(authenticator_id)
        if one is None:
            return NOT_FOUND
        authenticators.rename_authenticator(tx, user.id, authenticator_id, label=label)
        self._record(
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
        authenticators.delete_authenticator(tx, user.id, removed.id)
        factor = self._parts.factors.get(removed.method)
        if factor is not None:
            factor.remove(tx, user.id, removed.id)
        if not left:
            self._parts.recovery_codes.remove_all(tx, user.id)
        self._record(
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
        self._record(tx, EventType.RECOVERY_CODES_CREATED, user, caller, now=now)
        mailing.notify(tx, self._parts, allowed.account, Kind.RECOVERY_CODES_CREATED, now=now)
        return _Changed(changed, recovery_codes=codes)

    def _told(self, done: _Changed | Other, *, now: datetime) -> FactorsChanged | Other:
        """Return what the client gets, now that the transaction is committed."""
        if not isinstance(done, _Changed):
            return done
        signed_in = self._changes.tell(done.replaced, now=now)
        return FactorsChanged(signed_in, done.authenticator, done.recovery_codes)

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        user: User,
        caller: Caller,
        *,
        method: str | None = None,
        reason: Reason | None = None,
        details: Mapping[str, str | int | Sequence[str]] | None = None,
        now: datetime,
    ) -> None:
        audit.record(
            tx,
            Event(
                type_,
                now,
                caller,
                subject=user.id,
                session_id=user.session_id,
                method=method,
                reason=reason,
                details=details or {},
            ),
        )


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


def _is_full(factor: Factor, authenticators_now: Sequence[Authenticator]) -> bool:
    same = sum(one.method == factor.method for one in authenticators_now)
    return same >= factor.max_per_account


def tell_of_factor(
    tx: Connection,
    parts: Parts,
    account: Account,
    kind: Kind,
    authenticator: Authenticator,
    *,
    now: datetime,
) -> None:
    """Tell the owner of a factor that came or went."""
    values = {"label": authenticator.label, "method": authenticator.method}
    mailing.notify(tx, parts, account, kind, now=now, values=values)
