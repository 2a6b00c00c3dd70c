"""Proving again, or proving more, inside a session (RFC 9470 step-up)."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import RightPassword
from twinlock.accounts.subjects import store as subjects
from twinlock.audit.events import Caller, EventType
from twinlock.core.clock import in_order
from twinlock.core.principal import User
from twinlock.core.proof import (
    Acr,
    NoSecondFactor,
    Reason,
    Rejected,
    Verified,
)
from twinlock.core.secrets import digest, new_secret
from twinlock.factors.authenticators.store import Authenticators, AwaitsEnrollment, SealBroken
from twinlock.flows.counting import Counting
from twinlock.flows.opening import Opening
from twinlock.flows.outcomes import Denied, Offered, Refused, SignedIn, Throttled
from twinlock.flows.own_acts import record_own
from twinlock.flows.parts import Parts
from twinlock.flows.stepping_up import CookieChange, SteppedUp, SteppingUp
from twinlock.flows.verifying import Verifying
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose
from twinlock.throttle.store import Try

PASSWORD = "password"

NOTHING_STRONGER = Refused(
    "enrollment_needed", "Enroll a second factor first: this account has nothing stronger to show."
)


@dataclass(frozen=True, slots=True)
class ReauthenticationBegun:
    """A reauthentication that waits for an answer by one of these methods."""

    handle: str
    methods: tuple[Offered, ...]


@dataclass(frozen=True, slots=True)
class PasswordCounted:
    """A reauthentication by password whose try is counted; the password is to be hashed now."""

    begun: Pending
    account: Account
    none: NoSecondFactor
    tries: tuple[Try, ...]


@dataclass(frozen=True, slots=True)
class _Counted:
    begun: Pending
    account: Account
    factors: Authenticators
    taken: Try


class Reauthentication:
    """Steps up the session of a signed-in account, and no other session of it.

    Who has a second factor reauthenticates with a second factor; the password is offered
    only to who has none.
    """

    def __init__(
        self, parts: Parts, counting: Counting, verifying: Verifying, opening: Opening
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._stepping_up = SteppingUp(parts, opening)

    def begin(
        self, user: User, acr: Acr | None, caller: Caller, *, now: datetime
    ) -> ReauthenticationBegun | Denied | Refused:
        """Offer what this account can prove again."""
        return self._parts.database.transaction(self._begin, user, acr, caller, now=now)

    def begin_again(
        self, user: User, handle: str, method: str, caller: Caller, *, now: datetime
    ) -> Offered | Denied | Throttled:
        """Return fresh options of one method, voiding the older ones; the counts stay."""
        return self._parts.database.transaction(
            self._begin_again, user, handle, method, caller, now=now
        )

    def count_password(
        self, user: User, handle: str, caller: Caller, *, now: datetime
    ) -> PasswordCounted | Denied | Throttled:
        """Count the try of a password, for who has no second factor."""
        return self._parts.database.transaction_once(
            self._count_password, user, handle, caller, now=now
        )

    def finish_password(
        self,
        user: User,
        counted: PasswordCounted,
        outcome: RightPassword | Rejected,
        caller: Caller,
        *,
        cookie: str | None,
        now: datetime,
    ) -> SignedIn | Denied:
        """Decide on the password that was checked."""
        done = self._parts.database.transaction(
            self._check_password, user, counted, outcome, caller, CookieChange.of(cookie), now=now
        )
        return done if isinstance(done, Denied) else self._stepping_up.tell(user, done, now=now)

    def submit_answer(
        self,
        user: User,
        handle: str,
        method: str,
        answer: object,
        caller: Caller,
        *,
        cookie: str | None,
        now: datetime,
    ) -> SignedIn | Denied | Throttled:
        """Answer with a second factor; counts like every second-factor answer."""
        if self._parts.factors.get(method) is None:
            return Denied()  # any text at all: neither counted nor written down
        counted = self._parts.database.transaction_once(
            self._count_answer, user, handle, method, caller, now=now
        )
        if not isinstance(counted, _Counted):
            return counted
        done = self._parts.database.transaction(
            self._check_answer,
            user,
            counted,
            method,
            answer,
            caller,
            CookieChange.of(cookie),
            now=now,
        )
        return done if isinstance(done, Denied) else self._stepping_up.tell(user, done, now=now)

    def _begin(
        self, tx: Connection, user: User, acr: Acr | None, caller: Caller, *, now: datetime
    ) -> ReauthenticationBegun | Denied | Refused:
        account = self._parts.accounts.get(tx, user.id)
        if account is None or account.generation != user.generation:
            return Denied()
        factors = self._verifying.factors_of(tx, account)
        if isinstance(factors, AwaitsEnrollment | SealBroken):
            return self._deny(tx, user, Rejected(Reason.SEAL_BROKEN), caller, None, now=now)
        if isinstance(factors, NoSecondFactor) and acr is not None and acr is not Acr.AAL1:
            return NOTHING_STRONGER
        if acr is Acr.PHR and not self._can_reach_phr(factors):
            return NOTHING_STRONGER
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return Denied()  # and the cap on what is pending holds from several sides at once
        handle = new_secret()
        begun = Pending(
            digest=digest(handle),
            purpose=Purpose.REAUTHENTICATION,
            subject=user.id,
            generation=account.generation,
            session_id=user.session_id,
            method=None,
            acr=acr,
            proven_at=None,
            scope=(),
            state=None,
            tries=0,
            expires_at=now + self._parts.lifetimes.pending_login,
            created_at=in_order(now),
        )
        offered: tuple[Offered, ...] = (Offered(PASSWORD),)
        if isinstance(factors, Authenticators):
            offered, state = self._verifying.offer(tx, factors, begun, now=now)
            begun = replace(begun, state=state)
        offered = tuple(one for one in offered if self._serves(one.method, acr))
        pending_store.insert_pending(tx, begun)
        pending_store.delete_oldest(tx, begun, kept=self._parts.lifetimes.max_pending)
        return ReauthenticationBegun(handle, offered)

    def _begin_again(
        self,
        tx: Connection,
        user: User,
        handle: str,
        method: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Offered | Denied | Throttled:
        found = self._find(tx, user, handle, now=now)
        if isinstance(found, Denied):
            return found
        begun, account = found
        factors = self._verifying.factors_of(tx, account)
        if not isinstance(factors, Authenticators) or not self._serves(method, begun.acr):
            return Denied()
        return self._verifying.begin_again(tx, account, factors, begun, method, caller, now=now)

    def _can_reach_phr(self, factors: Authenticators | NoSecondFactor) -> bool:
        if isinstance(factors, NoSecondFactor):
            return False
        return any(map(self._is_phishing_resistant, factors.methods))

    def _serves(self, method: str, acr: Acr | None) -> bool:
        return acr is not Acr.PHR or self._is_phishing_resistant(method)

    def _is_phishing_resistant(self, method: str) -> bool:
        factor = self._parts.factors.get(method)
        return factor is not None and factor.is_phishing_resistant

    def _take(self, tx: Connection, begun: Pending, *, now: datetime) -> bool:
        """Count an answer with its reauthentication, after the account's own count.

        Whoever checks an answer takes the two rows in the same order, or two would deadlock.
        """
        most = self._parts.lifetimes.max_answers
        taken = pending_store.take_try(
            tx, begun.digest, purpose=Purpose.REAUTHENTICATION, max_tries=most, now=now
        )
        return taken is not None

    def _find(
        self, tx: Connection, user: User, handle: str, *, now: datetime
    ) -> tuple[Pending, Account] | Denied:
        """Return the reauthentication of a handle and its account, if both live."""
        begun = pending_store.get_pending(
            tx,
            digest(handle),
            purpose=Purpose.REAUTHENTICATION,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        if begun is None or begun.session_id != user.session_id:
            return Denied()
        account = self._parts.accounts.get(tx, begun.subject)
        if account is None or account.is_disabled or account.generation != begun.generation:
            return Denied()
        return begun, account

    def _count_password(
        self, tx: Connection, user: User, handle: str, caller: Caller, *, now: datetime
    ) -> PasswordCounted | Denied | Throttled:
        taken_up = self._find(tx, user, handle, now=now)
        if isinstance(taken_up, Denied):
            return taken_up
        begun, account = taken_up
        factors = self._verifying.factors_of(tx, account)
        if not isinstance(factors, NoSecondFactor):
            return self._deny(
                tx, user, Rejected(Reason.METHOD_NOT_AVAILABLE), caller, PASSWORD, now=now
            )
        tries = self._counting.take_password_tries_in_session(tx, user, caller, now=now)
        if isinstance(tries, Throttled):
            return tries
        if not self._take(tx, begun, now=now):
            self._counting.give_back(tx, tries)
            return Denied()
        return PasswordCounted(begun, account, factors, tries)

    def _count_answer(
        self,
        tx: Connection,
        user: User,
        handle: str,
        method: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> _Counted | Denied | Throttled:
        taken_up = self._find(tx, user, handle, now=now)
        if isinstance(taken_up, Denied):
            return taken_up
        begun, account = taken_up
        factors = self._verifying.factors_of(tx, account)
        if not isinstance(factors, Authenticators):
            reason = Reason.SEAL_BROKEN if isinstance(factors, SealBroken) else Reason.WRONG
            return self._deny(tx, user, Rejected(reason), caller, method, now=now)
        if not self._serves(method, begun.acr):
            return self._deny(
                tx, user, Rejected(Reason.METHOD_NOT_AVAILABLE), caller, method, now=now
            )
        taken = self._counting.take_second_factor_try(
            tx, account.subject, caller, method=method, now=now
        )
        if isinstance(taken, Throttled):
            return taken
        if not self._take(tx, begun, now=now):
            self._counting.give_back(tx, (taken,))
            return Denied()
        return _Counted(begun, account, factors, taken)

    def _check_password(
        self,
        tx: Connection,
        user: User,
        counted: PasswordCounted,
        outcome: RightPassword | Rejected,
        caller: Caller,
        cookie: CookieChange | None,
        *,
        now: datetime,
    ) -> SteppedUp | Denied:
        if isinstance(outcome, Rejected):
            return self._deny(tx, user, outcome, caller, PASSWORD, now=now)
        account = counted.account
        subjects.hold(tx, account.subject, seen=account.generation)
        self._counting.give_back(tx, counted.tries)
        return self._step_up(tx, user, counted.begun, outcome.verified, caller, cookie, now=now)

    def _check_answer(
        self,
        tx: Connection,
        user: User,
        counted: _Counted,
        method: str,
        answer: object,
        caller: Caller,
        cookie: CookieChange | None,
        *,
        now: datetime,
    ) -> SteppedUp | Denied:
        account = counted.account
        subjects.hold(tx, account.subject, seen=account.generation)
        checked = self._verifying.verify(
            tx, counted.factors, method, counted.begun, answer, counted.taken, caller, now=now
        )
        if isinstance(checked, Rejected):
            return self._deny(tx, user, checked, caller, method, now=now)
        return self._step_up(tx, user, counted.begun, checked, caller, cookie, now=now)

    def _step_up(
        self,
        tx: Connection,
        user: User,
        begun: Pending,
        verified: Verified,
        caller: Caller,
        cookie: CookieChange | None,
        *,
        now: datetime,
    ) -> SteppedUp | Denied:
        done = self._stepping_up.step_up(tx, user, begun, verified, caller, cookie, now=now)
        if isinstance(done, Rejected):
            return self._deny(tx, user, done, caller, verified.method, now=now)
        return done

    def _deny(
        self,
        tx: Connection,
        user: User,
        rejected: Rejected,
        caller: Caller,
        method: str | None,
        *,
        now: datetime,
    ) -> Denied:
        reason = self._verifying.told_apart(tx, rejected.reason, user.id, seen=user.generation)
        record_own(
            tx,
            EventType.REAUTHENTICATION_DENIED,
            user,
            caller,
            reason=reason,
            method=method,
            now=now,
        )
        return Denied()
