"""The last step of every login: a session for what was proven, or the reason why not.

proof ── what policies demand ──┬─ Admitted ── told ── SignedIn   (after the commit)
├─ EnrollmentRequired             (it proved too little)
└─ Denied                         (the account changed)
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import (
    Acr,
    PasswordAndDevice,
    PasswordOnly,
    Proof,
    Reason,
    TwoFactors,
    VerifiedPasskey,
    context_of,
)
from twinlock.factors.authenticators.store import Authenticators
from twinlock.flows import mailing
from twinlock.flows.counting import Counting
from twinlock.flows.demands import demands_of, enrollable
from twinlock.flows.devices import TrustedDevices
from twinlock.flows.opening import Opened, Opening, Transport
from twinlock.flows.outcomes import Denied, DeviceCookie, EnrollmentRequired, SignedIn
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.flows.waiting_logins import require_enrollment
from twinlock.mail.letters import Kind
from twinlock.policies.policy import Demands

Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Request:
    """How a session is asked for: by whom, for which client, with which scope.

    Attributes:
        may_enroll: Whether the client can go on with an enrollment inside the login.
        device: The cookie of a trusted device, at the doors where it counts.
        trust_device: Whether to trust this browser once its second factor was right.
        host_id: Whose pending login it must be that is answered; None for anybody's.
    """

    caller: Caller
    transport: Transport = Transport.BEARER
    scope: tuple[str, ...] = ()
    may_enroll: bool = False
    device: str | None = field(default=None, repr=False)
    trust_device: bool = False
    host_id: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A session that was written, and the browser that is known from now on."""

    opened: Opened
    known_browser: str | None
    device: DeviceCookie | None = None
    enrollment_due: datetime | None = None


class Admission:
    """Admits a login that proved enough, and writes down every one that did not."""

    def __init__(
        self, parts: Parts, counting: Counting, verifying: Verifying, opening: Opening
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._opening = opening
        self._devices = TrustedDevices(parts)

    def admit(
        self,
        tx: Connection,
        account: Account,
        proof: Proof,
        request: Request,
        *,
        cookie: DeviceCookie | None = None,
        now: datetime,
    ) -> Admitted | EnrollmentRequired | Denied:
        """Open a session, if the account is still what it was when the login began.

        Where the policies demand more than was proven, the login goes on with an enrollment.
        """
        caller = request.caller
        demands = demands_of(tx, self._parts, account, now=now)
        acr = context_of(proof).acr
        if not acr.satisfies(demands.acr) and not isinstance(proof, PasswordAndDevice):
            return self._demand_enrollment(tx, account, proof, request, demands, now=now)
        if not subjects.touch(tx, account.subject, seen=account.generation, now=now):
            self.deny(tx, account, Reason.CHANGED_MEANWHILE, caller, "password", now=now)
            return Denied()
        opened = self._opening.open_session(
            tx,
            account,
            proof,
            caller,
            generation=account.generation,
            scope=request.scope,
            transport=request.transport,
            now=now,
        )
        remembered = self._counting.remember(tx, account.subject, caller, now=now)
        if remembered.is_strange:
            place = {"address": caller.ip or "-"}
            mailing.notify(tx, self._parts, account, Kind.NEW_DEVICE, now=now, values=place)
        if request.trust_device and isinstance(proof, TwoFactors | VerifiedPasskey):
            cookie = self._devices.trust(tx, account, request.device, caller, now=now)
        audit.record(
            tx,
            Event(
                EventType.LOGIN_SUCCEEDED,
                now,
                caller,
                subject=account.subject,
                session_id=opened.session.id,
                details={"acr": opened.context.acr, "amr": list(opened.context.amr)},
            ),
        )
        return Admitted(opened, remembered.cookie, cookie, demands.reminder(acr))

    def told(self, done: Admitted | Other, *, now: datetime) -> SignedIn | Other:
        """Return what the client gets, now that the transaction is committed."""
        if not isinstance(done, Admitted):
            return done
        credentials = self._opening.issue(done.opened, now=now)
        return SignedIn(
            credentials, done.opened.context, done.known_browser, done.device, done.enrollment_due
        )

    def record_password(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> None:
        """Write down that a password was right, and opened nothing yet."""
        event = EventType.PASSWORD_VERIFIED
        audit.record(tx, Event(event, now, caller, subject=account.subject, method="password"))

    def deny(
        self,
        tx: Connection,
        account: Account | None,
        reason: Reason,
        caller: Caller,
        method: str | None,
        *,
        name: str | None = None,
        now: datetime,
    ) -> Denied:
        """Write down why a login goes no further, and say no."""
        if account is not None:
            reason = self._verifying.told_apart(
                tx, reason, account.subject, seen=account.generation
            )
        audit.record(
            tx,
            Event(
                EventType.LOGIN_DENIED,
                now,
                caller,
                subject=account.subject if account else None,
                name_digest=None if name is None else self._counting.name_digest(name),
                reason=reason,
                method=method,
            ),
        )
        return Denied()

    def _demand_enrollment(
        self,
        tx: Connection,
        account: Account,
        proof: Proof,
        request: Request,
        demands: Demands,
        *,
        now: datetime,
    ) -> EnrollmentRequired | Denied:
        """Let a login that proved all that the account has go on with what its policy demands."""
        shown = proof.second.method if isinstance(proof, TwoFactors) else None
        if self._has_enough(tx, account, demands):
            # Or who relayed a code of the owner's would enroll a passkey of theirs.
            reason = Reason.METHOD_NOT_AVAILABLE
            self.deny(tx, account, reason, request.caller, shown, now=now)
            return Denied()
        required: EnrollmentRequired | None = EnrollmentRequired()
        if request.may_enroll and isinstance(proof, PasswordOnly | TwoFactors):
            required = require_enrollment(
                tx,
                self._parts,
                self._verifying,
                account,
                proven_at=proof.password.at,
                scope=request.scope,
                methods=enrollable(self._parts, account, demands),
                needs_link=False,
                shown=context_of(proof).acr if shown else None,
                now=now,
            )
        if required is None or required.handle is None:
            reason = Reason.CHANGED_MEANWHILE if required is None else Reason.AWAITS_ENROLLMENT
            self.deny(tx, account, reason, request.caller, shown or "password", now=now)
        else:
            self.record_password(tx, account, request.caller, now=now)
        return required or Denied()

    def _has_enough(self, tx: Connection, account: Account, demands: Demands) -> bool:
        """Tell whether the account has what is demanded, and showed something weaker."""
        factors = self._verifying.factors_of(tx, account)
        return (
            isinstance(factors, Authenticators)
            and demands.acr is Acr.PHR
            and any(
                factor.is_phishing_resistant
                for method in factors.methods
                if (factor := self._parts.factors.get(method))
            )
        )
