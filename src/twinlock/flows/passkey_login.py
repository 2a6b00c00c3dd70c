"""Signing in with a passkey alone: the credential names the account, the device its person.

    begin ── (browser) ── finish ──┬─ SignedIn     acr phr
    no row   user verified         └─ Denied       one answer for whatever was wrong

Anybody may begin, so beginning writes nothing: the handle *is* the challenge, sealed. What is
written is its end: an answer that was right spends it, for everyone and whatever changes after.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit.events import Caller
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import NOBODY, Reason, Rejected, Verified, VerifiedPasskey
from twinlock.core.secrets import digest, from_base64url, to_base64url
from twinlock.factors.authenticators.store import Authenticators, AwaitsEnrollment
from twinlock.factors.protocol import NamesAccounts
from twinlock.flows.admission import Admission, Admitted, Request
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Denied, EnrollmentRequired, Refused, SignedIn, Throttled
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.pending import store as pending
from twinlock.throttle.store import Try

LIFETIME: Final = timedelta(minutes=5)
NO_PASSKEYS: Final = Refused("not_found", "There are no passkeys here.")
_TIME_BYTES: Final = 8
_MAX_HANDLE: Final = 512


@dataclass(frozen=True, slots=True)
class PasskeyAsked:
    """A sign-in that waits for any passkey of ours."""

    handle: str = field(repr=False)
    expires_in: timedelta
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a handle holds."""

    digest: bytes
    state: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Named:
    """What an answer names, and the tries that its network was charged.

    Attributes:
        account: Whose credential it is; None where it is nobody's.
    """

    account: Account | None
    network: tuple[Try, ...]


@dataclass(frozen=True, slots=True)
class _Counted:
    """The same, with the account's own try: for nobody's, one that stands for nothing."""

    account: Account | None
    network: tuple[Try, ...]
    own: Try


class PasskeyLogin:
    """Signs in who has a passkey with user verification, without a name or a password."""

    def __init__(
        self, parts: Parts, counting: Counting, verifying: Verifying, admission: Admission
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._admission = admission
        self._passkeys = next(
            (one for one in parts.factors if isinstance(one, NamesAccounts)), None
        )

    def begin(self, *, now: datetime) -> PasskeyAsked | Refused:
        """Return a challenge for whoever wants one; nothing is stored."""
        if self._passkeys is None:
            return NO_PASSKEYS
        prompt = self._passkeys.begin_discovery(now=now)
        expires_at = now + LIFETIME
        content = int(expires_at.timestamp()).to_bytes(_TIME_BYTES, "big") + (prompt.state or b"")
        handle = to_base64url(self._parts.keyring.seal(content, **_PLACE))
        return PasskeyAsked(handle, LIFETIME, prompt.options)

    def finish(
        self, handle: str, answer: object, request: Request, *, now: datetime
    ) -> SignedIn | Denied | Throttled:
        """Sign in whom the answer names and proves; its try is counted before it is looked at."""
        passkeys, begun = self._passkeys, self._open(handle, now=now)
        if passkeys is None or begun is None:
            return Denied()  # any text at all: neither counted nor written down
        # Two transactions: whoever checks an answer takes the account's count before the
        # network's, and one that holds both in the other order would deadlock with that.
        named = self._parts.database.transaction_once(
            self._count_for_network, passkeys, answer, request, now=now
        )
        if not isinstance(named, _Named):
            return named
        counted = self._parts.database.transaction_once(
            self._count_for_account, passkeys, named, answer, request, now=now
        )
        if not isinstance(counted, _Counted):
            return counted
        done = self._parts.database.transaction(
            self._check, passkeys, begun, counted, answer, request, now=now
        )
        return self._admission.told(done, now=now)

    def _count_for_network(
        self,
        tx: Connection,
        passkeys: NamesAccounts,
        answer: object,
        request: Request,
        *,
        now: datetime,
    ) -> _Named | Throttled:
        """Count for the network, and find the account that the answer names."""
        caller = request.caller
        subject = passkeys.account_of(tx, answer)
        account = self._parts.accounts.get_fresh(tx, subject or NOBODY)
        network = self._counting.take_passkey_try(
            tx, account.subject if account else None, caller, now=now
        )
        if isinstance(network, Throttled):
            return network
        return _Named(account, network)

    def _count_for_account(
        self,
        tx: Connection,
        passkeys: NamesAccounts,
        named: _Named,
        answer: object,
        request: Request,
        *,
        now: datetime,
    ) -> _Counted | Denied:
        """Count for the account; for nobody's credential count as much, and as long."""
        caller, method = request.caller, passkeys.method
        if named.account is not None:
            own = self._counting.take_second_factor_try(
                tx, named.account.subject, caller, method=method, now=now
            )
        else:
            nobody = passkeys.claimed_by(answer)
            own = self._counting.take_decoy_try(tx, nobody, caller, method=method, now=now)
        if isinstance(own, Throttled):
            return Denied()  # a 429 would tell that somebody has this credential
        return _Counted(named.account, named.network, own)

    def _check(
        self,
        tx: Connection,
        passkeys: NamesAccounts,
        begun: _Begun,
        counted: _Counted,
        answer: object,
        request: Request,
        *,
        now: datetime,
    ) -> Admitted | Denied:
        account = counted.account
        subjects.hold(
            tx,
            account.subject if account else NOBODY,
            seen=account.generation if account else 0,
        )
        verified = self._verify(tx, passkeys, begun, counted, answer, request.caller, now=now)
        if isinstance(verified, Rejected) or account is None:
            reason = verified.reason if isinstance(verified, Rejected) else Reason.WRONG
            return self._admission.deny(
                tx, account, reason, request.caller, passkeys.method, now=now
            )
        self._counting.give_back(tx, counted.network)
        admitted = self._admission.admit(tx, account, VerifiedPasskey(verified), request, now=now)
        return Denied() if isinstance(admitted, EnrollmentRequired) else admitted

    def _verify(
        self,
        tx: Connection,
        passkeys: NamesAccounts,
        begun: _Begun,
        counted: _Counted,
        answer: object,
        caller: Caller,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Check the answer of an account that may sign in, and spend the handle.

        An answer for an account that may not, or for none, is checked in vain, so that it takes as
        long.
        """
        factors = self._verifying.factors_of(tx, counted.account)
        shut_out = _why_shut_out(counted.account, factors)
        if shut_out is not None or not isinstance(factors, Authenticators):
            self._verifying.verify_nobodys_answer(tx, passkeys.method, begun.state, answer, now=now)
            return Rejected(shut_out or Reason.SEAL_BROKEN)
        verified = self._verifying.verify_alone(
            tx, factors, passkeys.method, begun.state, answer, counted.own, caller, now=now
        )
        if isinstance(verified, Rejected):
            return verified
        if not verified.is_user_verified:
            return Rejected(Reason.WRONG)
        if not pending.spend_unstored(tx, begun.digest, expires_at=begun.expires_at, now=now):
            return Rejected(Reason.SPENT)
        return verified

    def _open(self, handle: str, *, now: datetime) -> _Begun | None:
        """Return what a handle of ours holds while it lives."""
        if len(handle) > _MAX_HANDLE:
            return None
        try:
            content = self._parts.keyring.open(from_base64url(handle), **_PLACE)
        except (ValueError, SealBrokenError):
            return None
        expires_at = datetime.fromtimestamp(int.from_bytes(content[:_TIME_BYTES], "big"), UTC)
        if expires_at <= now:
            return None
        return _Begun(digest(handle), content[_TIME_BYTES:], expires_at)


def _why_shut_out(account: Account | None, factors: object) -> Reason | None:
    if account is None:
        return Reason.UNKNOWN_ACCOUNT
    if account.is_disabled:
        return Reason.DISABLED
    return Reason.AWAITS_ENROLLMENT if isinstance(factors, AwaitsEnrollment) else None


_PLACE: Final = {"table": "passkey_login", "column": "handle", "row": "", "account": ""}
