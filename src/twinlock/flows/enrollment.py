"""Enrolling a first factor inside a login, where an account opens nothing without one.

    password ── EnrollmentRequired ── begin ── confirm ── EnrolledAndSignedIn
                (15 min)              (10 min, 5 answers)

What the account lost to a reset comes back only with the reset's own link on top of the
password: who stole the password of somebody who lost a phone must not bind a phone of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import shown_earlier
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import (
    Acr,
    NoSecondFactor,
    Reason,
    Rejected,
    SubjectId,
    TwoFactors,
    Verified,
)
from twinlock.core.secrets import digest, new_id, new_secret
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticator, Authenticators, AwaitsEnrollment
from twinlock.factors.protocol import Factor, Holder
from twinlock.flows.changes import Changes
from twinlock.flows.counting import Counting
from twinlock.flows.demands import demands_of, enrollable
from twinlock.flows.factors import (
    CLOCK_DRIFT,
    ENROLLMENT_OVER,
    METHOD_NOT_ALLOWED,
    TOO_MANY,
    UNKNOWN_METHOD,
    WRONG_ANSWER,
    EnrollmentBegun,
    tell_of_factor,
)
from twinlock.flows.opening import Opened, Opening, Transport
from twinlock.flows.outcomes import Denied, EnrollmentRequired, Refused, SignedIn
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose

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
class _Waiting:
    """A login that waits for an enrollment, and its account.

    Attributes:
        has: What the account has already, all of it shown or too weak for its policy.
        needs_link: Whether the factors were reset.
    """

    begun: Pending
    account: Account
    password: Verified
    has: tuple[Authenticator, ...]
    needs_link: bool


@dataclass(frozen=True, slots=True)
class _Admitted:
    opened: Opened
    known_browser: str | None
    authenticator: Authenticator
    recovery_codes: Sequence[str] = field(repr=False)
    ended: Sequence[str] = ()


def require_enrollment(
    tx: Connection,
    parts: Parts,
    verifying: Verifying,
    account: Account,
    *,
    proven_at: datetime,
    scope: tuple[str, ...],
    methods: tuple[str, ...],
    needs_link: bool,
    shown: Acr | None = None,
    now: datetime,
) -> EnrollmentRequired | None:
    """Let a login whose password was right wait for an enrollment; None if the account changed.

    Args:
        tx: The transaction.
        parts: The installation.
        verifying: What seals the row.
        account: Whose login it is.
        proven_at: When the password was shown.
        scope: What the session is to be good for.
        methods: What may be enrolled.
        needs_link: Whether the factors were reset.
        shown: What the second factor proved that was shown, and is too weak for the policy.
        now: The present moment.
    """
    if not accounts.lock_subject(tx, account.subject, seen=account.generation):
        return None
    handle = new_secret()
    lifetime = parts.lifetimes.enrollment_login
    begun = _pending(
        account.subject,
        account.generation,
        handle,
        purpose=Purpose.LOGIN_ENROLLMENT,
        scope=scope,
        proven_at=proven_at,
        shown=shown,
        expires_at=now + lifetime,
        now=now,
    )
    _insert(tx, verifying, begun, _claim(begun))
    pending_store.delete_oldest(tx, begun, kept=parts.lifetimes.max_pending)
    return EnrollmentRequired(handle, lifetime, methods, needs_link=needs_link)


def issue_link(
    tx: Connection,
    parts: Parts,
    verifying: Verifying,
    subject: SubjectId,
    *,
    generation: int,
    now: datetime,
) -> str:
    """Return the single-use token that a reset account's next login enrolls with; call it last."""
    token = new_secret()
    begun = _pending(
        subject,
        generation,
        token,
        purpose=Purpose.ENROLLMENT_LINK,
        expires_at=now + parts.lifetimes.enrollment_link,
        now=now,
    )
    _insert(tx, verifying, begun, _claim(begun))
    return token


class Enrollment:
    """Enrolls a first factor inside a login."""

    def __init__(
        self,
        parts: Parts,
        counting: Counting,
        verifying: Verifying,
        changes: Changes,
        opening: Opening,
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._changes = changes
        self._opening = opening

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
        factor = self._factor(method)
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
    ) -> EnrolledAndSignedIn | Refused | Denied:
        """Confirm an enrollment and sign in. The answer's try is counted before it is looked at."""
        factor = self._factor(method)
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
        if not isinstance(done, _Admitted):
            return done
        self._parts.marks.bump(list(done.ended))
        credentials = self._opening.issue(done.opened, now=now)
        signed_in = SignedIn(credentials, done.opened.context, done.known_browser)
        return EnrolledAndSignedIn(signed_in, done.authenticator, done.recovery_codes)

    def _factor(self, method: str) -> Factor | None:
        factor = self._parts.factors.get(method)
        return factor if factor is not None and factor.max_per_account > 0 else None

    def _waiting(self, tx: Connection, login: str, *, now: datetime) -> _Waiting | Denied:
        """Return the login of a handle, if its account still waits for its first factor."""
        begun = pending_store.get_pending(
            tx,
            digest(login),
            purpose=Purpose.LOGIN_ENROLLMENT,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        if begun is None or begun.proven_at is None or not self._is_ours(begun):
            return Denied()
        account = self._parts.accounts.get_fresh(tx, begun.subject)
        if account is None or account.is_disabled or account.generation != begun.generation:
            return Denied()
        factors = self._verifying.factors_of(tx, account)
        password = shown_earlier(account.subject, at=begun.proven_at)
        match factors:
            case AwaitsEnrollment():
                return _Waiting(begun, account, password, (), needs_link=True)
            case NoSecondFactor():
                return _Waiting(begun, account, password, (), needs_link=False)
            case Authenticators(all=those) if begun.acr is not None:
                return _Waiting(begun, account, password, those, needs_link=False)
            case _:  # a login that waits for a second factor enrolls nothing
                return Denied()

    def _waiting_for(
        self, tx: Connection, login: str, factor: Factor, *, now: datetime
    ) -> _Waiting | Refused | Denied:
        """Return the login of a handle, if *factor* may be enrolled in it."""
        waiting = self._waiting(tx, login, now=now)
        if isinstance(waiting, Denied):
            return waiting
        demands = demands_of(tx, self._parts, waiting.account, now=now)
        if factor.method not in enrollable(self._parts, demands):
            return METHOD_NOT_ALLOWED
        same = sum(one.method == factor.method for one in waiting.has)
        return TOO_MANY if same >= factor.max_per_account else waiting

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
        waiting = self._waiting_for(tx, login, factor, now=now)
        if not isinstance(waiting, _Waiting):
            return waiting
        account = waiting.account
        link_digest = _NO_LINK
        if waiting.needs_link:
            if link is None:
                return LINK_REQUIRED
            link_digest = digest(link)
            if self._link(tx, link_digest, waiting, now=now) is None:
                self._record(
                    tx,
                    EventType.FACTOR_ENROLLMENT_DENIED,
                    account,
                    caller,
                    method=factor.method,
                    reason=Reason.AWAITS_ENROLLMENT,
                    now=now,
                )
                return Denied()
        holder = Holder(account.subject, account.username, account.full_name or account.username)
        prompt = factor.begin_enrollment(tx, holder, now=now)
        handle = new_secret()
        lifetime = self._parts.lifetimes.enrollment
        begun = _pending(
            account.subject,
            account.generation,
            handle,
            purpose=Purpose.ENROLLMENT,
            method=factor.method,
            expires_at=now + lifetime,
            now=now,
        )
        state = waiting.begun.digest + link_digest + (prompt.state or b"")
        _insert(tx, self._verifying, begun, state)
        pending_store.delete_oldest(tx, begun, kept=self._parts.lifetimes.max_pending)
        self._record(
            tx, EventType.FACTOR_ENROLLMENT_BEGUN, account, caller, method=factor.method, now=now
        )
        return EnrollmentBegun(handle, lifetime, prompt.options)

    def _count_answer(
        self, tx: Connection, login: str, method: str, enrollment: str, *, now: datetime
    ) -> Pending | Refused | Denied:
        if isinstance(self._waiting(tx, login, now=now), Denied):
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
    ) -> _Admitted | Refused | Denied:
        waiting = self._waiting_for(tx, login, factor, now=now)
        if not isinstance(waiting, _Waiting):
            return waiting
        account = waiting.account
        state = self._state_of(enrollment, waiting)
        if state is None:
            return ENROLLMENT_OVER
        link_digest, factors_own = state
        # Holding the subject's row keeps every other change out until this one is decided.
        if not accounts.lock_subject(tx, account.subject, seen=account.generation):
            return Denied()
        link = self._link(tx, link_digest, waiting, now=now) if waiting.needs_link else None
        if waiting.needs_link and link is None:
            return Denied()
        enrolled = Authenticator(
            id=new_id(),
            method=factor.method,
            label=label,
            code_digits=factor.code_digits,
            created_at=now,
            last_used_at=now,
        )
        checked = factor.finish_enrollment(
            tx, account.subject, enrolled.id, factors_own, answer, now=now
        )
        if isinstance(checked, Rejected):
            self._record(
                tx,
                EventType.FACTOR_ENROLLMENT_DENIED,
                account,
                caller,
                method=factor.method,
                reason=checked.reason,
                now=now,
            )
            return CLOCK_DRIFT if checked.reason is Reason.CLOCK_DRIFT else WRONG_ANSWER
        return self._admit(tx, waiting, checked, enrolled, caller, transport, now=now)

    def _admit(
        self,
        tx: Connection,
        waiting: _Waiting,
        checked: Verified,
        enrolled: Authenticator,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> _Admitted | Denied:
        """Write the factor, the account's next generation, and the session of this login."""
        account = waiting.account
        if not pending_store.spend(tx, waiting.begun, now=now):
            return Denied()
        authenticators.insert_authenticator(tx, account.subject, enrolled)
        generation = self._changes.raise_generation(tx, account, [*waiting.has, enrolled])
        if generation is None:
            raise AssertionError("the subject's row was not held")
        ended = self._changes.end_all(tx, account, now=now)
        recovery_codes: Sequence[str] = ()
        if not waiting.has:
            recovery_codes = self._parts.recovery_codes.create(tx, account.subject, now=now)
        opened = self._opening.open_session(
            tx,
            account,
            TwoFactors(waiting.password, checked),
            caller,
            generation=generation,
            scope=waiting.begun.scope,
            transport=transport,
            now=now,
        )
        accounts.touch_subject(tx, account.subject, seen=generation, now=now)
        known = self._counting.remember(tx, account.subject, caller, now=now)
        self._record(
            tx,
            EventType.FACTOR_ENROLLED,
            account,
            caller,
            method=enrolled.method,
            details={"label": enrolled.label, "authenticator": enrolled.id},
            now=now,
        )
        self._record(
            tx,
            EventType.LOGIN_SUCCEEDED,
            account,
            caller,
            session_id=opened.session.id,
            details={"acr": opened.context.acr, "amr": list(opened.context.amr)},
            now=now,
        )
        tell_of_factor(tx, self._parts, account, Kind.FACTOR_ADDED, enrolled, now=now)
        return _Admitted(opened, known, enrolled, recovery_codes, ended)

    def _link(
        self, tx: Connection, link_digest: bytes, waiting: _Waiting, *, now: datetime
    ) -> Pending | None:
        """Return the living link of the account that the login waits for."""
        found = pending_store.get_pending(
            tx, link_digest, purpose=Purpose.ENROLLMENT_LINK, max_tries=1, now=now
        )
        if (
            found is None
            or found.subject != waiting.account.subject
            or found.generation != waiting.account.generation
            or not self._is_ours(found)
        ):
            return None
        return found

    def _is_ours(self, begun: Pending) -> bool:
        """Tell whether we wrote this row: who writes the database must not begin a login."""
        try:
            return self._verifying.open_state(begun) == _claim(begun)
        except SealBrokenError:
            return False

    def _state_of(self, enrollment: Pending, waiting: _Waiting) -> tuple[bytes, bytes] | None:
        """Return the link and the factor's own state of an enrollment that this login began."""
        try:
            state = self._verifying.open_state(enrollment) or b""
        except SealBrokenError:
            return None
        login, link = state[:_DIGEST_BYTES], state[_DIGEST_BYTES : 2 * _DIGEST_BYTES]
        if login != waiting.begun.digest or enrollment.generation != waiting.account.generation:
            return None
        return link, state[2 * _DIGEST_BYTES :]

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        account: Account,
        caller: Caller,
        *,
        method: str | None = None,
        reason: Reason | None = None,
        session_id: str | None = None,
        details: dict[str, str | int | Sequence[str]] | None = None,
        now: datetime,
    ) -> None:
        audit.record(
            tx,
            Event(
                type_,
                now,
                caller,
                subject=account.subject,
                method=method,
                reason=reason,
                session_id=session_id,
                details=details or {},
            ),
        )


def _pending(
    subject: SubjectId,
    generation: int,
    handle: str,
    *,
    purpose: Purpose,
    expires_at: datetime,
    now: datetime,
    method: str | None = None,
    scope: tuple[str, ...] = (),
    proven_at: datetime | None = None,
    shown: Acr | None = None,
) -> Pending:
    return Pending(
        digest=digest(handle),
        purpose=purpose,
        subject=subject,
        generation=generation,
        session_id=None,
        method=method,
        acr=shown,
        proven_at=proven_at,
        scope=scope,
        state=None,
        tries=0,
        expires_at=expires_at,
        created_at=now,
    )


def _claim(begun: Pending) -> bytes:
    """Return what only the holder of a master key may say of a row."""
    moments = (begun.proven_at, begun.expires_at)
    stated = (one.isoformat() if one else "" for one in moments)
    shown, scope = begun.acr or "", " ".join(begun.scope)
    return "\n".join((begun.purpose, str(begun.generation), *stated, shown, scope)).encode()


def _insert(tx: Connection, verifying: Verifying, begun: Pending, state: bytes) -> None:
    pending_store.insert_pending(tx, begun)
    pending_store.set_state(tx, begun.digest, state=verifying.seal_state(state, begun))
