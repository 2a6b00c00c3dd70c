"""Enrolling a factor inside a login, where an account opens nothing without it.

    password ── EnrollmentRequired ── begin ── confirm ── EnrolledAndSignedIn
                (15 min)              (10 min, 5 answers)

What the account lost to a reset comes back only with the reset's own link on top of the
password: who stole the password of somebody who lost a phone must not bind a phone of theirs.
The login itself ends where every login ends, in ``admission.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import Reason, Rejected, TwoFactors
from twinlock.core.secrets import digest, new_secret
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import Factor
from twinlock.flows.admission import Admission, Admitted, Request
from twinlock.flows.changes import Changes
from twinlock.flows.counting import Counting
from twinlock.flows.demands import demands_of
from twinlock.flows.enrolling import (
    ENROLLMENT_OVER,
    UNKNOWN_METHOD,
    Confirmed,
    EnrollmentBegun,
    confirm,
    factor_to_enroll,
    prompt,
    refusal_of,
    tell_of_factor,
)
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, EnrollmentRequired, Refused, SignedIn
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.flows.waiting_logins import (
    Waiting,
    WaitingLogins,
    insert_sealed,
    waiting_row,
)
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose
from twinlock.policies.policy import Policy

LINK_REQUIRED: Final = Refused(
    "enrollment_link_required",
    "The factors of this account were reset: send the token of the link that came with it.",
)
_NO_LINK: Final = bytes(32)
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class EnrolledAndSignedIn:
    """A login that ended in a confirmed factor.

    Attributes:
        recovery_codes: Shown this once.
    """

    signed_in: SignedIn
    authenticator: Authenticator
    recovery_codes: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnrollmentAsked:
    """Why a login waits for an enrollment.

    Attributes:
        policy: What has demanded it for the longest; None where no policy does.
        was_reset: Whether the factors were reset.
    """

    policy: Policy | None
    was_reset: bool


@dataclass(frozen=True, slots=True)
class _Enrolled:
    admitted: Admitted
    authenticator: Authenticator
    recovery_codes: Sequence[str] = field(repr=False)
    ended: Sequence[str]


class Enrollment:
    """Enrolls a factor inside a login."""

    def __init__(
        self,
        parts: Parts,
        counting: Counting,
        verifying: Verifying,
        changes: Changes,
        admission: Admission,
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._changes = changes
        self._admission = admission
        self._logins = WaitingLogins(parts, verifying)

    def look(self, login: str, *, now: datetime) -> EnrollmentAsked | Denied:
        """Tell why a login waits, to who holds it; looking changes nothing."""
        return self._parts.database.reading(self._look, login, now=now)

    def begin(
        self, login: str, method: str, link: str | None, caller: Caller, *, now: datetime
    ) -> EnrollmentBegun | Refused | Denied:
        """Begin an enrollment; nothing changes until its answer confirms it.

        Args:
            login: What the password step answered with.
            method: What to enroll.
            link: The token of a reset's link, where the factors were reset.
            caller: Where the request came from.
            now: The present moment.
        """
        factor = factor_to_enroll(self._parts, method)
        if factor is None:
            return UNKNOWN_METHOD
        return self._parts.database.transaction(self._begin, login, factor, link, caller, now=now)

    def finish(
        self,
        login: str,
        method: str,
        enrollment: str,
        answer: object,
        label: str,
        caller: Caller,
        *,
        transport: Transport,
        now: datetime,
    ) -> EnrolledAndSignedIn | EnrollmentRequired | Refused | Denied:
        """Confirm an enrollment and sign in. The answer's try is counted before it is looked at."""
        factor = factor_to_enroll(self._parts, method)
        if factor is None:
            return UNKNOWN_METHOD
        counted = self._parts.database.transaction_once(
            self._count_answer, login, method, enrollment, now=now
        )
        if not isinstance(counted, Pending):
            return counted
        done = self._parts.database.transaction(
            self._finish, login, factor, counted, answer, label, caller, transport, now=now
        )
        if not isinstance(done, _Enrolled):
            return done
        self._parts.marks.bump(list(done.ended))
        signed_in = self._admission.told(done.admitted, now=now)
        return EnrolledAndSignedIn(signed_in, done.authenticator, done.recovery_codes)

    def _look(self, db: Connection, login: str, *, now: datetime) -> EnrollmentAsked | Denied:
        waiting = self._logins.find(db, login, now=now)
        if isinstance(waiting, Denied):
            return waiting
        demands = demands_of(db, self._parts, waiting.account, now=now)
        return EnrollmentAsked(demands.in_force(now=now), waiting.needs_link)

    def _begin(
        self,
        tx: Connection,
        login: str,
        factor: Factor,
        link: str | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> EnrollmentBegun | Refused | Denied:
        waiting = self._logins.find_for(tx, login, factor, now=now)
        if not isinstance(waiting, Waiting):
            return waiting
        account = waiting.account
        link_digest = _NO_LINK
        if waiting.needs_link:
            if link is None:
                return LINK_REQUIRED
            link_digest = digest(link)
            if self._logins.find_link(tx, link_digest, waiting, now=now) is None:
                reason = Reason.AWAITS_ENROLLMENT
                self._deny(tx, account, reason, factor, caller, now=now)
                return Denied()
        begun_with = prompt(
            tx, self._parts, self._counting, factor, account, waiting.has, caller, now=now
        )
        if isinstance(begun_with, Refused):
            return begun_with
        handle = new_secret()
        lifetime = self._parts.lifetimes.enrollment
        begun = waiting_row(
            account.subject,
            account.generation,
            handle,
            purpose=Purpose.ENROLLMENT,
            method=factor.method,
            expires_at=now + lifetime,
            now=now,
        )
        state = waiting.begun.digest + link_digest + (begun_with.state or b"")
        insert_sealed(tx, self._verifying, begun, state)
        pending_store.delete_oldest(tx, begun, kept=self._parts.lifetimes.max_pending)
        begins = EventType.FACTOR_ENROLLMENT_BEGUN
        audit.record(tx, Event(begins, now, caller, subject=account.subject, method=factor.method))
        return EnrollmentBegun(handle, lifetime, begun_with.options)

    def _count_answer(
        self, tx: Connection, login: str, method: str, enrollment: str, *, now: datetime
    ) -> Pending | Refused | Denied:
        if isinstance(self._logins.find(tx, login, now=now), Denied):
            return Denied()
        begun = pending_store.take_try(
            tx,
            digest(enrollment),
            purpose=Purpose.ENROLLMENT,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        if begun is None or begun.session_id is not None or begun.method != method:
            return ENROLLMENT_OVER
        return begun

    def _finish(
        self,
        tx: Connection,
        login: str,
        factor: Factor,
        enrollment: Pending,
        answer: object,
        label: str,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> _Enrolled | EnrollmentRequired | Refused | Denied:
        waiting = self._logins.find_for(tx, login, factor, now=now)
        if not isinstance(waiting, Waiting):
            return waiting
        account = waiting.account
        state = self._state_of(enrollment, waiting)
        if state is None:
            return ENROLLMENT_OVER
        link_digest, factors_own = state
        # Holding the subject's row keeps every other change out until this one is decided.
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return Denied()
        if waiting.needs_link and not self._logins.find_link(tx, link_digest, waiting, now=now):
            return Denied()
        confirmed = confirm(tx, factor, account.subject, factors_own, answer, label, now=now)
        if isinstance(confirmed, Rejected):
            self._deny(tx, account, confirmed.reason, factor, caller, now=now)
            return refusal_of(confirmed)
        request = Request(caller, transport, waiting.begun.scope, may_enroll=True)
        return self._admit(tx, waiting, confirmed, request, now=now)

    def _admit(
        self,
        tx: Connection,
        waiting: Waiting,
        confirmed: Confirmed,
        request: Request,
        *,
        now: datetime,
    ) -> _Enrolled | EnrollmentRequired | Denied:
        """Write the account's next generation with its new factor, and admit this login."""
        if not pending_store.spend(tx, waiting.begun, now=now):
            raise AssertionError("the subject's row was not held")
        account, enrolled = waiting.account, confirmed.authenticator
        generation = self._changes.raise_generation(tx, account, [*waiting.has, enrolled])
        if generation is None:
            raise AssertionError("the subject's row was not held")
        ended = self._changes.end_all(tx, account, now=now)
        recovery_codes: Sequence[str] = ()
        if not waiting.has:
            recovery_codes = self._parts.recovery_codes.create(tx, account.subject, now=now)
        details: dict[str, str | int | Sequence[str]] = {
            "label": enrolled.label,
            "authenticator": enrolled.id,
        }
        audit.record(
            tx,
            Event(
                EventType.FACTOR_ENROLLED,
                now,
                request.caller,
                subject=account.subject,
                method=enrolled.method,
                details=details,
            ),
        )
        tell_of_factor(tx, self._parts, account, Kind.FACTOR_ADDED, enrolled, now=now)
        enrolled_account = replace(account, generation=generation, awaits_enrollment=False)
        proof = TwoFactors(waiting.password, confirmed.verified)
        admitted = self._admission.admit(tx, enrolled_account, proof, request, now=now)
        if not isinstance(admitted, Admitted):
            return admitted
        return _Enrolled(admitted, enrolled, recovery_codes, ended)

    def _state_of(self, enrollment: Pending, waiting: Waiting) -> tuple[bytes, bytes] | None:
        """Return the link and the factor's own state of an enrollment that this login began."""
        try:
            state = self._verifying.open_state(enrollment) or b""
        except SealBrokenError:
            return None
        login, link = state[:_DIGEST_BYTES], state[_DIGEST_BYTES : 2 * _DIGEST_BYTES]
        if login != waiting.begun.digest or enrollment.generation != waiting.account.generation:
            return None
        return link, state[2 * _DIGEST_BYTES :]

    def _deny(
        self,
        tx: Connection,
        account: Account,
        reason: Reason,
        factor: Factor,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        event = EventType.FACTOR_ENROLLMENT_DENIED
        audit.record(
            tx,
            Event(
                event,
                now,
                caller,
                subject=account.subject,
                method=factor.method,
                reason=reason,
            ),
        )
