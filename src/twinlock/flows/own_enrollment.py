"""Enrolling one more authenticator, in a session that has just shown who it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit.events import Caller, EventType
from twinlock.core.clock import in_order
from twinlock.core.errors import SealBrokenError
from twinlock.core.principal import User
from twinlock.core.proof import Continued, Rejected
from twinlock.core.secrets import digest, new_secret
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import Factor
from twinlock.flows import mailed_codes
from twinlock.flows.changes import Allowed, Changes, Replaced
from twinlock.flows.counting import Counting
from twinlock.flows.demands import demands_of
from twinlock.flows.enrolling import (
    ENROLLMENT_OVER,
    METHOD_NOT_ALLOWED,
    TOO_MANY,
    UNKNOWN_METHOD,
    EnrollmentBegun,
    confirm,
    factor_to_enroll,
    is_full,
    must_verify_email,
    prompt,
    refusal_of,
    tell_of_factor,
)
from twinlock.flows.factors import FactorsChanged
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, StepUpRequired
from twinlock.flows.own_acts import record_own
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose


@dataclass(frozen=True, slots=True)
class _Enrolled:
    replaced: Replaced
    authenticator: Authenticator
    recovery_codes: Sequence[str] = field(repr=False)


class OwnEnrollment:
    """Enrolls authenticators on behalf of their owner. A new one ends every session."""

    def __init__(
        self, parts: Parts, counting: Counting, verifying: Verifying, changes: Changes
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._changes = changes

    def begin(
        self, user: User, method: str, caller: Caller, *, now: datetime
    ) -> EnrollmentBegun | StepUpRequired | Refused | Denied:
        """Begin to enroll an authenticator; nothing changes until its answer confirms it."""
        factor = factor_to_enroll(self._parts, method)
        if factor is None:
            return UNKNOWN_METHOD
        return self._parts.database.transaction(self._begin, user, factor, caller, now=now)

    def finish(
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
        factor = factor_to_enroll(self._parts, method)
        if factor is None:
            return UNKNOWN_METHOD
        begun = self._parts.database.transaction_once(
            self._count_answer, user, method, handle, now=now
        )
        if begun is None:
            return ENROLLMENT_OVER
        done = self._parts.database.transaction(
            self._finish,
            user,
            factor,
            begun,
            answer,
            label,
            caller,
            transport,
            now=now,
        )
        if not isinstance(done, _Enrolled):
            return done
        signed_in = self._changes.tell(done.replaced, now=now)
        return FactorsChanged(signed_in, done.authenticator, done.recovery_codes)

    def _begin(
        self, tx: Connection, user: User, factor: Factor, caller: Caller, *, now: datetime
    ) -> EnrollmentBegun | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        account = allowed.account
        if is_full(factor, allowed.authenticators):
            return TOO_MANY
        demands = demands_of(tx, self._parts, account, now=now)
        if not demands.may_enroll(factor.method):
            return METHOD_NOT_ALLOWED
        if must_verify_email(self._parts, account, is_demanded=demands.is_coming):
            return mailed_codes.EMAIL_UNVERIFIED
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return Denied()  # and the cap on what is pending holds from several sides at once
        begun_with = prompt(
            tx,
            self._parts,
            self._counting,
            factor,
            account,
            allowed.authenticators,
            caller,
            now=now,
        )
        if isinstance(begun_with, Refused):
            return begun_with
        handle = self._keep(tx, user, account, factor, begun_with.state, now=now)
        record_own(
            tx, EventType.FACTOR_ENROLLMENT_BEGUN, user, caller, method=factor.method, now=now
        )
        return EnrollmentBegun(handle, self._parts.lifetimes.enrollment, begun_with.options)

    def _keep(
        self,
        tx: Connection,
        user: User,
        account: Account,
        factor: Factor,
        state: bytes | None,
        *,
        now: datetime,
    ) -> str:
        """Keep the factor's state under a new handle, in place of what waits for longest."""
        handle = new_secret()
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
            expires_at=now + self._parts.lifetimes.enrollment,
            created_at=in_order(now),
        )
        sealed = self._verifying.seal_state(state or b"", begun)
        pending_store.insert_pending(tx, begun)
        pending_store.set_state(tx, begun.digest, state=sealed)
        pending_store.delete_oldest(tx, begun, kept=self._parts.lifetimes.max_pending)
        return handle

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

    def _finish(
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
    ) -> _Enrolled | StepUpRequired | Refused | Denied:
        allowed = self._held(tx, user, factor, begun, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        try:
            state = self._verifying.open_state(begun) or b""
        except SealBrokenError:
            return ENROLLMENT_OVER
        confirmed = confirm(tx, factor, user.id, state, answer, label, now=now)
        if isinstance(confirmed, Rejected):
            record_own(
                tx,
                EventType.FACTOR_ENROLLMENT_DENIED,
                user,
                caller,
                method=factor.method,
                reason=confirmed.reason,
                now=now,
            )
            return refusal_of(confirmed)
        enrolled = confirmed.authenticator
        recovery_codes: Sequence[str] = ()
        if not allowed.authenticators:
            recovery_codes = self._parts.recovery_codes.create(tx, user.id, now=now)
        record_own(
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
            Continued(user.context, confirmed.verified),
            user,
            caller,
            transport,
            now=now,
        )
        if isinstance(changed, Denied):
            return changed
        tell_of_factor(tx, self._parts, allowed.account, Kind.FACTOR_ADDED, enrolled, now=now)
        return _Enrolled(changed, enrolled, recovery_codes)

    def _held(
        self, tx: Connection, user: User, factor: Factor, begun: Pending, *, now: datetime
    ) -> Allowed | StepUpRequired | Refused | Denied:
        """Return the account of an enrollment that may still be confirmed.

        Its subject's row is held: that keeps every other change out until this one is decided.
        """
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        if begun.generation != allowed.account.generation:
            return ENROLLMENT_OVER
        if is_full(factor, allowed.authenticators):
            return TOO_MANY
        if not subjects.lock(tx, allowed.account.subject, seen=allowed.account.generation):
            return Denied()
        return allowed
