"""Checking a second factor inside a flow's transaction, the same for every door."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import NOBODY, NoSecondFactor, Reason, Rejected, SubjectId, Verified
from twinlock.core.secrets import from_base64url, to_base64url
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticators, AwaitsEnrollment, SealBroken
from twinlock.factors.protocol import Factor
from twinlock.flows import mailed_codes, mailing
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Denied, Offered, Throttled
from twinlock.flows.parts import Parts
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending
from twinlock.throttle.store import Try

log = logging.getLogger("twinlock.factors")


class Verifying:
    """Offers and checks second factors."""

    def __init__(self, parts: Parts, counting: Counting) -> None:
        self._parts = parts
        self._counting = counting

    def factors_of(
        self, db: Connection, account: Account | None
    ) -> Authenticators | NoSecondFactor | AwaitsEnrollment | SealBroken:
        """Return what the account has under its seal; costs the same where there is no account."""
        found = authenticators.find_authenticators(
            db,
            self._parts.keyring,
            account=account.subject if account else NOBODY,
            generation=account.generation if account else 0,
            seal=account.seal if account else b"",
            awaits_enrollment=account is not None and account.awaits_enrollment,
        )
        if isinstance(found, SealBroken) and account is not None and account.is_new:
            log.critical("seal_broken", extra={"subject": account.subject})  # its row was deleted
        return found

    def offer(
        self, tx: Connection, factors: Authenticators, begun: Pending, *, now: datetime
    ) -> tuple[tuple[Offered, ...], bytes | None]:
        """Return the methods that may be used, and the sealed states of those that have some."""
        offered: list[Offered] = []
        states: dict[str, bytes] = {}
        for factor in self._available(tx, factors):
            if factor.is_mailed:  # a password alone makes nobody's mailbox full
                offered.append(Offered(factor.method))
                continue
            prompt = factor.begin_verification(tx, factors.account, now=now)
            offered.append(Offered(factor.method, prompt.options or None))
            if prompt.state is not None:
                states[factor.method] = prompt.state
        return tuple(offered), self._seal_states(states, begun)

    def begin_again(
        self,
        tx: Connection,
        account: Account,
        factors: Authenticators,
        begun: Pending,
        method: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Offered | Denied | Throttled:
        """Return fresh options of one method, void its older ones, and mail what is to be mailed.

        The states of other methods stay, and so do the counts. An account that has no such
        method, and whoever comes second of two at once, is denied.
        """
        factor = next((one for one in self._available(tx, factors) if one.method == method), None)
        if factor is None:
            return Denied()
        if factor.is_mailed:
            taken = mailed_codes.take_mail(
                tx, self._parts, self._counting, account, caller, now=now
            )
            if isinstance(taken, Throttled):
                return taken
        try:
            prompt = factor.begin_verification(tx, factors.account, now=now)
        except SealBrokenError:
            log.critical("seal_broken", extra={"subject": factors.account})
            return Denied()
        if not self._replace_state(tx, begun, method, prompt.state):
            return Denied()
        if prompt.mailed is not None:
            mailed_codes.send(
                tx, self._parts, account, prompt.mailed, ends_at=begun.expires_at, now=now
            )
        return Offered(method, prompt.options or None)

    def _replace_state(
        self, tx: Connection, begun: Pending, method: str, state: bytes | None
    ) -> bool:
        """Replace one method's state; False when the states are no longer those that were read."""
        try:
            states = self._open_states(begun)
        except SealBrokenError:
            states = {}
        states.pop(method, None)
        if state is not None:
            states[method] = state
        return pending_store.replace_state(tx, begun, state=self._seal_states(states, begun))

    def method_of_code(self, factors: Authenticators, code: str) -> str:
        """Tell which method a typed code belongs to: short ones of digits alone are an app's."""
        lengths = {one.code_digits: one.method for one in factors.all if one.code_digits}
        return self._method_of(code, lengths)

    def verify(
        self,
        tx: Connection,
        factors: Authenticators,
        method: str,
        begun: Pending | None,
        answer: object,
        taken: Try | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Check one answer, whose try was counted before in a transaction of its own.

        A right answer gives back its try and ends the row of wrong ones; the repeat of a
        spent code gives back its try.
        """
        factor = self._parts.factors.get(method)
        if factor is None or not self._is_available(tx, factor, factors):
            return Rejected(Reason.METHOD_NOT_AVAILABLE)
        if taken is not None and factor.is_short_code and self._counting.is_stopped(taken):
            return Rejected(Reason.STOPPED)
        try:
            state = self._open_states(begun).get(method) if begun is not None else None
        except SealBrokenError:
            return Rejected(Reason.SEAL_BROKEN)
        return self._check(tx, factors, factor, state, answer, taken, caller, now=now)

    def verify_alone(
        self,
        tx: Connection,
        factors: Authenticators,
        method: str,
        state: bytes,
        answer: object,
        taken: Try,
        caller: Caller,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Check an answer that is to stand for password and second factor, to a *state* of ours."""
        factor = self._parts.factors.get(method)
        if factor is None or method not in factors.methods:
            return Rejected(Reason.METHOD_NOT_AVAILABLE)
        return self._check(tx, factors, factor, state, answer, taken, caller, now=now)

    def _check(
        self,
        tx: Connection,
        factors: Authenticators,
        factor: Factor,
        state: bytes | None,
        answer: object,
        taken: Try | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        checked = factor.finish_verification(tx, factors.account, state, answer, now=now)
        if isinstance(checked, Rejected):
            if checked.reason is Reason.SPENT and taken is not None:
                self._counting.give_back(tx, (taken,))
            if checked.reason is Reason.SIGN_COUNT_FELL:
                self._raise_alarm(tx, factors.account, factor.method, checked, caller, now=now)
            return checked
        if checked.evidence is not None:
            if factors.get(checked.evidence) is None:
                # A row that the seal does not know of: put there, or left there, by somebody.
                return Rejected(Reason.SEAL_BROKEN, evidence=checked.evidence)
            authenticators.note_use(tx, checked.evidence, now=now)
        if taken is not None:
            self._counting.note_right_answer(tx, taken)
        if factor.method == self._parts.recovery_codes.method:
            audit.record(
                tx,
                Event(EventType.RECOVERY_CODE_SPENT, now, caller, subject=factors.account),
            )
            owner = self._parts.accounts.get(tx, factors.account)
            if owner is not None:
                if owner.password_mailed_at is not None:
                    accounts.trust_password(tx, owner.host_id)
                mailing.notify(tx, self._parts, owner, Kind.RECOVERY_CODE_USED, now=now)
        return checked

    def verify_nobodys(self, tx: Connection, code: str, *, now: datetime) -> None:
        """Do the work of `verify` for an account that does not exist, to take as long."""
        lengths = {one.code_digits: one.method for one in self._parts.factors if one.code_digits}
        factor = self._parts.factors.get(self._method_of(code, lengths))
        if factor is not None:
            factor.finish_verification(tx, NOBODY, None, code, now=now)

    def verify_nobodys_answer(
        self, tx: Connection, method: str, state: bytes, answer: object, *, now: datetime
    ) -> None:
        """Do the work of `verify_alone` for an account that does not exist."""
        factor = self._parts.factors.get(method)
        if factor is not None:
            factor.finish_verification(tx, NOBODY, state, answer, now=now)

    def told_apart(
        self, tx: Connection, reason: Reason, subject: SubjectId, *, seen: int
    ) -> Reason:
        """Return the true reason, and raise the alarm where a seal really is broken.

        A seal also seems broken when a change of factors was committed between the read of the
        account and that of its authenticators; then the generation is no longer the one *seen*.
        """
        if reason is not Reason.SEAL_BROKEN:
            return reason
        if not subjects.lock(tx, subject, seen=seen):
            return Reason.CHANGED_MEANWHILE
        log.critical("seal_broken", extra={"subject": subject})
        return reason

    def seal_state(self, state: bytes, begun: Pending) -> bytes:
        """Seal a factor's state to what is pending."""
        return self._parts.keyring.seal(
            state,
            table="pending",
            column="state",
            row=begun.digest.hex(),
            account=begun.subject,
        )

    def open_state(self, begun: Pending) -> bytes | None:
        """Return a factor's state.

        Raises:
            SealBrokenError: The row was changed, or its key is gone.
        """
        if begun.state is None:
            return None
        return self._parts.keyring.open(
            begun.state,
            table="pending",
            column="state",
            row=begun.digest.hex(),
            account=begun.subject,
        )

    def _seal_states(self, states: Mapping[str, bytes], begun: Pending) -> bytes | None:
        if not states:
            return None
        texts = {method: to_base64url(state) for method, state in states.items()}
        return self.seal_state(json.dumps(texts).encode("ascii"), begun)

    def _open_states(self, begun: Pending) -> dict[str, bytes]:
        opened = self.open_state(begun)
        texts = json.loads(opened) if opened is not None else {}
        return {method: from_base64url(text) for method, text in texts.items()}

    def _raise_alarm(
        self,
        tx: Connection,
        account: SubjectId,
        method: str,
        rejected: Rejected,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        """Say aloud that a key seems to exist twice (WebAuthn Level 3 section 6.1.1)."""
        log.critical("passkey_copy_suspected", extra={"subject": account})
        details = {"authenticator": rejected.evidence or ""}
        audit.record(
            tx,
            Event(
                EventType.PASSKEY_COPIED,
                now,
                caller,
                subject=account,
                reason=rejected.reason,
                method=method,
                details=details,
            ),
        )

    def _method_of(self, code: str, lengths: Mapping[int, str]) -> str:
        if any(character.isalpha() for character in code):
            return self._parts.recovery_codes.method
        typed = sum(character.isdecimal() for character in code)
        return lengths.get(typed, self._parts.recovery_codes.method)

    def _available(self, db: Connection, factors: Authenticators) -> list[Factor]:
        has_codes = self._parts.recovery_codes.count_left(db, factors.account) > 0
        recovery = self._parts.recovery_codes.method
        return [
            factor
            for factor in self._parts.factors
            if self._is_available(db, factor, factors) and (factor.method != recovery or has_codes)
        ]

    def _is_available(self, db: Connection, factor: Factor, factors: Authenticators) -> bool:
        if factor.method == self._parts.recovery_codes.method:
            return True
        if factor.method not in factors.methods:
            return False
        if not factor.is_mailed:
            return True
        account = self._parts.accounts.get(db, factors.account)
        return mailed_codes.are_apart(self._parts, account, factors.all)
