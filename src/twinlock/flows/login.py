"""Signing in: the password, then the second factor. Every door that signs in goes through here.

    look_up ── hash ── finish_password ──┬─ SignedIn                (no second factor, under a seal)
    (counts)  (edge)                     ├─ SecondFactorRequired   (goes on in answering.py)
                                         └─ Denied

At the token endpoint the code comes with the password: ``finish_with_code``. A passkey alone
comes by ``passkey_login.py``. Both end in ``admission.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts import store as account_store
from twinlock.accounts.directory import Account, DirectoryEntry
from twinlock.accounts.password_check import NewHash, RightPassword, vouched
from twinlock.accounts.subjects import store as subjects
from twinlock.audit.events import Caller
from twinlock.core.clock import in_order
from twinlock.core.proof import (
    NOBODY,
    NoSecondFactor,
    PasswordAndDevice,
    PasswordOnly,
    Reason,
    Rejected,
    TwoFactors,
)
from twinlock.core.secrets import digest, new_secret
from twinlock.factors.authenticators.store import Authenticators, AwaitsEnrollment
from twinlock.flows import mailing
from twinlock.flows.admission import Admission, Admitted, Request
from twinlock.flows.counting import Counting
from twinlock.flows.demands import demands_of, enrollable
from twinlock.flows.devices import Copied, Recognised, TrustedDevices
from twinlock.flows.looked_up import LookedUp, Ready
from twinlock.flows.outcomes import (
    Denied,
    EnrollmentRequired,
    SecondFactorRequired,
    SignedIn,
    Throttled,
)
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.flows.waiting_logins import require_enrollment
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose
from twinlock.throttle.store import Try


@dataclass(frozen=True, slots=True)
class _Asked:
    """A second factor is asked for, because the device was a copy; its sessions ended."""

    required: SecondFactorRequired | Denied
    ended: Sequence[str]


class Login:
    """Signs accounts in."""

    def __init__(
        self, parts: Parts, counting: Counting, verifying: Verifying, admission: Admission
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._admission = admission
        self._devices = TrustedDevices(parts)

    def look_up(
        self, name: str, caller: Caller, *, entry: DirectoryEntry | None = None, now: datetime
    ) -> LookedUp | Throttled:
        """Count the try, committed before anything is evaluated, and find the account.

        Args:
            entry: What a host's directory answered to *name*.
        """
        return self._parts.database.transaction_once(self._look_up, name, entry, caller, now=now)

    def turn_away(self, caller: Caller, *, asks_next: bool, now: datetime) -> Throttled | None:
        """Refuse a flood of passwords before anything else is done; on the event loop.

        Args:
            asks_next: Whether `look_up` comes next for who is not refused.
        """
        return self._counting.turn_away(caller, asks_next=asks_next, now=now)

    def finish_password(
        self,
        seen: LookedUp,
        outcome: RightPassword | Rejected,
        request: Request,
        *,
        now: datetime,
    ) -> SignedIn | SecondFactorRequired | EnrollmentRequired | Denied:
        """Decide on a password that was checked, for a client that answers in a second step."""
        done = self._parts.database.transaction(
            self._finish_password, seen, outcome, request, now=now
        )
        return self._told_of_password(done, now=now)

    def finish_with_code(
        self,
        seen: LookedUp,
        outcome: RightPassword | Rejected,
        code: str,
        request: Request,
        *,
        now: datetime,
    ) -> SignedIn | EnrollmentRequired | Denied:
        """Decide on a password and a code that came together (TOTP or recovery code)."""
        counted = self._parts.database.transaction_once(
            self._count_code, seen, outcome, request, now=now
        )
        if isinstance(counted, Rejected):
            return self._parts.database.transaction(
                self._deny_with_code, seen, counted, code, request.caller, now=now
            )
        ready, taken = counted
        done: Admitted | EnrollmentRequired | Denied = self._parts.database.transaction(
            self._check_code, seen, ready, taken, code, request, now=now
        )
        return self._admission.told(done, now=now)

    def continue_vouched(
        self, entry: DirectoryEntry, request: Request, *, now: datetime
    ) -> SignedIn | SecondFactorRequired | EnrollmentRequired | Denied:
        """Go on after a password that the host has checked, and throttles, itself."""
        done = self._parts.database.transaction(self._continue_vouched, entry, request, now=now)
        return self._told_of_password(done, now=now)

    def needs_second_factor(self, entry: DirectoryEntry, *, now: datetime) -> bool:
        """Tell whether more than the password would be asked of an account, or its enrollment."""
        return self._parts.database.reading(self._needs_second_factor, entry, now=now)

    def upgrade_hash(self, account: Account, right: RightPassword, new: NewHash) -> None:
        """Replace an outdated hash by one of today's kind, if it still is the one verified."""
        self._parts.database.transaction(
            account_store.upgrade_hash,
            account.host_id,
            verified=right.stored,
            password_hash=new.password_hash,
            scheme=new.scheme,
        )

    def _look_up(
        self,
        tx: Connection,
        name: str,
        entry: DirectoryEntry | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> LookedUp | Throttled:
        account = self._parts.accounts.find(tx, name, entry)
        tries = self._counting.take_password_tries(tx, account, name, caller, now=now)
        if isinstance(tries, Throttled):
            return tries
        factors = self._verifying.factors_of(tx, account)
        return LookedUp(name, account, factors if account else None, tries)

    def _finish_password(
        self,
        tx: Connection,
        seen: LookedUp,
        outcome: RightPassword | Rejected,
        request: Request,
        *,
        now: datetime,
    ) -> Admitted | _Asked | SecondFactorRequired | EnrollmentRequired | Denied:
        ready = seen.ready(outcome, now=now)
        if isinstance(ready, Rejected):
            if ready.reason is not Reason.AWAITS_ENROLLMENT or seen.account is None:
                return self._deny_password(tx, seen, ready, request.caller, now=now)
            return self._await_enrollment(tx, seen, seen.account, request, now=now)
        is_held = self._hold(tx, ready.account, now=now)
        self._counting.give_back(tx, seen.tries)
        if isinstance(ready.factors, NoSecondFactor):
            proof = PasswordOnly(ready.password, ready.factors)
            return self._admission.admit(tx, ready.account, proof, request, now=now)
        known = self._recognise(tx, ready, request, is_held=is_held, now=now)
        if isinstance(known, Recognised):
            device = PasswordAndDevice(ready.password, known.device.id)
            return self._admission.admit(
                tx, ready.account, device, request, cookie=known.cookie, now=now
            )
        if not is_held:
            changed = Rejected(Reason.CHANGED_MEANWHILE)
            return self._deny_password(tx, seen, changed, request.caller, now=now)
        asked = self._ask_second_factor(tx, ready, ready.factors, request, now=now)
        return asked if known is None else _Asked(asked, known.ended)

    def _hold(self, tx: Connection, account: Account, *, now: datetime) -> bool:
        """Lock the account's row before any other of its rows; False when its generation moved on.

        An account of a host's that never signed in before gets its row here.
        """
        self._parts.accounts.write_subject(tx, account, now=now)
        return subjects.lock(tx, account.subject, seen=account.generation)

    def _recognise(
        self, tx: Connection, ready: Ready, request: Request, *, is_held: bool, now: datetime
    ) -> Recognised | Copied | None:
        """Look whether a trusted device stands for the second factor."""
        account = ready.account
        if request.device is None or not is_held:
            return None
        return self._devices.recognise(tx, account, request.device, request.caller, now=now)

    def _await_enrollment(
        self,
        tx: Connection,
        seen: LookedUp,
        account: Account,
        request: Request,
        *,
        now: datetime,
    ) -> EnrollmentRequired | Denied:
        """Let a login whose password was right go on with an enrollment, or end it there."""
        if not request.may_enroll:
            self._admission.deny(
                tx, account, Reason.AWAITS_ENROLLMENT, request.caller, "password", now=now
            )
            self._counting.give_back(tx, seen.tries)
            return EnrollmentRequired()
        required = require_enrollment(
            tx,
            self._parts,
            self._verifying,
            account,
            proven_at=now,
            scope=request.scope,
            methods=enrollable(self._parts, account, demands_of(tx, self._parts, account, now=now)),
            needs_link=isinstance(seen.factors, AwaitsEnrollment),
            now=now,
        )
        if required is None:
            rejected = Rejected(Reason.CHANGED_MEANWHILE)
            return self._deny_password(tx, seen, rejected, request.caller, now=now)
        self._counting.give_back(tx, seen.tries)
        self._admission.record_password(tx, account, request.caller, now=now)
        return required

    def _continue_vouched(
        self, tx: Connection, entry: DirectoryEntry, request: Request, *, now: datetime
    ) -> Admitted | _Asked | SecondFactorRequired | EnrollmentRequired | Denied:
        account = self._parts.accounts.find(tx, entry.username, entry)
        factors = self._verifying.factors_of(tx, account)
        seen = LookedUp(entry.username, account, factors if account else None, ())
        password = vouched(account, is_right=True, now=now)
        return self._finish_password(tx, seen, password, request, now=now)

    def _needs_second_factor(self, db: Connection, entry: DirectoryEntry, *, now: datetime) -> bool:
        account = self._parts.accounts.find(db, entry.username, entry)
        if account is None or not isinstance(
            self._verifying.factors_of(db, account), NoSecondFactor
        ):
            return True
        return demands_of(db, self._parts, account, now=now).second_factor

    def _count_code(
        self,
        tx: Connection,
        seen: LookedUp,
        outcome: RightPassword | Rejected,
        request: Request,
        *,
        now: datetime,
    ) -> tuple[Ready, Try | None] | Rejected:
        """Count the code's own try; a throttled code is, and takes as long as, a wrong password."""
        ready = seen.ready(outcome, now=now)
        if isinstance(ready, Rejected):
            self._counting.take_decoy_try(tx, seen.name, request.caller, now=now)
            return ready
        if isinstance(ready.factors, NoSecondFactor):
            return ready, None
        taken = self._counting.take_second_factor_try(
            tx, ready.account.subject, request.caller, now=now
        )
        if isinstance(taken, Throttled):
            return Rejected(Reason.THROTTLED)
        return ready, taken

    def _check_code(
        self,
        tx: Connection,
        seen: LookedUp,
        ready: Ready,
        taken: Try | None,
        code: str,
        request: Request,
        *,
        now: datetime,
    ) -> Admitted | EnrollmentRequired | Denied:
        self._parts.accounts.write_subject(tx, ready.account, now=now)
        subjects.hold(tx, ready.account.subject, seen=ready.account.generation)
        if isinstance(ready.factors, NoSecondFactor):
            self._counting.give_back(tx, seen.tries)
            alone = PasswordOnly(ready.password, ready.factors)
            return self._admission.admit(tx, ready.account, alone, request, now=now)
        method = self._verifying.method_of_code(ready.factors, code)
        second = self._verifying.verify(
            tx, ready.factors, method, None, code, taken, request.caller, now=now
        )
        if isinstance(second, Rejected):
            self._admission.deny(tx, ready.account, second.reason, request.caller, method, now=now)
            mailing.warn_of_wrong_code(tx, self._parts, ready.account, seen.name, now=now)
            return Denied()
        # Only now: who guesses codes must run into the password's limits like anybody else,
        # or the missing 429 would tell that the password is right.
        self._counting.give_back(tx, seen.tries)
        both = TwoFactors(ready.password, second)
        return self._admission.admit(tx, ready.account, both, request, now=now)

    def _ask_second_factor(
        self,
        tx: Connection,
        ready: Ready,
        factors: Authenticators,
        request: Request,
        *,
        now: datetime,
    ) -> SecondFactorRequired | Denied:
        account = ready.account
        handle = new_secret()
        lifetime = self._parts.lifetimes.pending_login
        begun = Pending(
            digest=digest(handle),
            purpose=Purpose.LOGIN,
            subject=account.subject,
            generation=account.generation,
            session_id=None,
            method=None,
            acr=None,
            proven_at=ready.password.at,
            scope=request.scope,
            state=None,
            tries=0,
            expires_at=now + lifetime,
            created_at=in_order(now),
        )
        offered, state = self._verifying.offer(tx, factors, begun, now=now)
        pending_store.insert_pending(tx, replace(begun, state=state))
        pending_store.delete_oldest(tx, begun, kept=self._parts.lifetimes.max_pending)
        self._admission.record_password(tx, account, request.caller, now=now)
        return SecondFactorRequired(handle, lifetime, offered, account.username)

    def _told_of_password(
        self,
        done: Admitted | _Asked | SecondFactorRequired | EnrollmentRequired | Denied,
        *,
        now: datetime,
    ) -> SignedIn | SecondFactorRequired | EnrollmentRequired | Denied:
        if isinstance(done, _Asked):
            self._parts.marks.bump(list(done.ended))
            return done.required
        return self._admission.told(done, now=now)

    def _deny_password(
        self,
        tx: Connection,
        seen: LookedUp,
        rejected: Rejected,
        caller: Caller,
        *,
        now: datetime,
    ) -> Denied:
        name = None if seen.account else seen.name
        return self._admission.deny(
            tx, seen.account, rejected.reason, caller, "password", name=name, now=now
        )

    def _deny_with_code(
        self,
        tx: Connection,
        seen: LookedUp,
        rejected: Rejected,
        code: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Denied:
        subjects.hold(tx, NOBODY, seen=0)  # as a wrong code holds its account's
        was_right = rejected.reason is Reason.THROTTLED
        owner = seen.account if was_right else None
        mailing.warn_of_wrong_code(tx, self._parts, owner, seen.name, now=now)
        if not was_right:  # which has written an event of its own
            self._verifying.verify_nobodys(tx, code, now=now)
        return self._deny_password(tx, seen, rejected, caller, now=now)
