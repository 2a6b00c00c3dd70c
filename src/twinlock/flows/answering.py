"""The second half of a login: an answer to what a pending login asks for.

    SecondFactorRequired ── submit_answer ──┬─ SignedIn
         │                  (counts)        ├─ Denied, Throttled
         ├─ begin_again: fresh options      └─ EnrollmentRequired  (policy demands more)
         └─ give_up: its owner leaves

What was begun dies with the account's generation: a change of password, factors or state voids
every login that waits.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import shown_earlier
from twinlock.accounts.subjects import store as subjects
from twinlock.audit.events import Caller
from twinlock.core.proof import Reason, Rejected, TwoFactors
from twinlock.core.secrets import digest
from twinlock.factors.authenticators.store import Authenticators
from twinlock.flows import mailing
from twinlock.flows.admission import Admission, Admitted, Request
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Denied, EnrollmentRequired, Offered, SignedIn, Throttled
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose
from twinlock.throttle.store import Try


class Answering:
    """Takes the answers of pending logins."""

    def __init__(
        self, parts: Parts, counting: Counting, verifying: Verifying, admission: Admission
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._admission = admission

    def submit_answer(
        self, handle: str, method: str, answer: object, request: Request, *, now: datetime
    ) -> SignedIn | EnrollmentRequired | Denied | Throttled:
        """Answer the second-factor prompt of a pending login."""
        if self._parts.factors.get(method) is None:
            return Denied()  # any text at all: neither counted nor written down
        counted = self._parts.database.transaction_once(
            self._count_answer, handle, method, request, now=now
        )
        if isinstance(counted, Denied | Throttled):
            return counted
        begun, account, taken = counted
        done: Admitted | EnrollmentRequired | Denied = self._parts.database.transaction(
            self._check_answer, begun, account, taken, method, answer, request, now=now
        )
        return self._admission.told(done, now=now)

    def begin_again(
        self, handle: str, method: str, caller: Caller, *, now: datetime
    ) -> Offered | Denied | Throttled:
        """Return fresh options of one method for a pending login; a mailed code goes out now."""
        return self._parts.database.transaction(self._begin_again, handle, method, caller, now=now)

    def give_up(self, handles: Sequence[str], *, now: datetime) -> None:
        """Void logins that their browser goes no further with: nobody else goes on there."""
        self._parts.database.transaction(self._give_up, handles, now=now)

    def _give_up(self, tx: Connection, handles: Sequence[str], *, now: datetime) -> None:
        most = self._parts.lifetimes.max_answers
        for handle in handles:
            for purpose in (Purpose.LOGIN, Purpose.LOGIN_ENROLLMENT):
                begun = pending_store.get_pending(
                    tx, digest(handle), purpose=purpose, max_tries=most, now=now
                )
                if begun is not None:
                    pending_store.spend(tx, begun, now=now)

    def _count_answer(
        self, tx: Connection, handle: str, method: str, request: Request, *, now: datetime
    ) -> tuple[Pending, Account, Try] | Denied | Throttled:
        """Count an answer twice: with its pending login and with its account."""
        most = self._parts.lifetimes.max_answers
        begun = pending_store.get_pending(
            tx, digest(handle), purpose=Purpose.LOGIN, max_tries=most, now=now
        )
        if begun is None:
            return Denied()
        account = self._parts.accounts.get_fresh(tx, begun.subject)
        if account is None or account.is_disabled or account.generation != begun.generation:
            return Denied()
        if request.host_id not in (None, account.host_id):
            return Denied()  # another account's login: not counted, as it was not meant
        # The account's count before the login's row, as the check does: or two would deadlock.
        taken = self._counting.take_second_factor_try(
            tx, account.subject, request.caller, method=method, now=now
        )
        if isinstance(taken, Throttled):
            return taken
        if not pending_store.take_try(
            tx, begun.digest, purpose=Purpose.LOGIN, max_tries=most, now=now
        ):
            self._counting.give_back(tx, (taken,))
            return Denied()
        return begun, account, taken

    def _begin_again(
        self, tx: Connection, handle: str, method: str, caller: Caller, *, now: datetime
    ) -> Offered | Denied | Throttled:
        begun = pending_store.get_pending(
            tx,
            digest(handle),
            purpose=Purpose.LOGIN,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        if begun is None:
            return Denied()
        account = self._parts.accounts.get_fresh(tx, begun.subject)
        if account is None or account.is_disabled or account.generation != begun.generation:
            return Denied()
        factors = self._verifying.factors_of(tx, account)
        if not isinstance(factors, Authenticators):
            return Denied()
        return self._verifying.begin_again(tx, account, factors, begun, method, caller, now=now)

    def _check_answer(
        self,
        tx: Connection,
        begun: Pending,
        account: Account,
        taken: Try,
        method: str,
        answer: object,
        request: Request,
        *,
        now: datetime,
    ) -> Admitted | EnrollmentRequired | Denied:
        subjects.hold(tx, account.subject, seen=account.generation)
        factors = self._verifying.factors_of(tx, account)
        if not isinstance(factors, Authenticators) or begun.proven_at is None:
            return self._admission.deny(
                tx, account, Reason.SEAL_BROKEN, request.caller, method, now=now
            )
        second = self._verifying.verify(
            tx, factors, method, begun, answer, taken, request.caller, now=now
        )
        if isinstance(second, Rejected):
            self._admission.deny(tx, account, second.reason, request.caller, method, now=now)
            mailing.notify(tx, self._parts, account, Kind.WRONG_SECOND_FACTOR, now=now)
            return Denied()
        if not pending_store.spend(tx, begun, now=now):
            return self._admission.deny(tx, account, Reason.SPENT, request.caller, method, now=now)
        password = shown_earlier(account.subject, at=begun.proven_at)
        scoped = replace(request, scope=begun.scope)
        return self._admission.admit(tx, account, TwoFactors(password, second), scoped, now=now)
