"""Logins that wait for an enrollment, and the links that reset accounts enroll with.

Who can write the database, but has no master key, must not begin such a login: what such a row
says is sealed to it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import shown_earlier
from twinlock.accounts.subjects import store as subjects
from twinlock.core.clock import in_order
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import Acr, NoSecondFactor, SubjectId, Verified
from twinlock.core.secrets import digest, new_secret
from twinlock.factors.authenticators.store import Authenticator, Authenticators, AwaitsEnrollment
from twinlock.factors.protocol import Factor
from twinlock.flows.demands import demands_of, may_meet
from twinlock.flows.enrolling import METHOD_NOT_ALLOWED, TOO_MANY, is_full
from twinlock.flows.outcomes import Denied, EnrollmentRequired, Refused
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending, Purpose


@dataclass(frozen=True, slots=True)
class Waiting:
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
    if not subjects.lock(tx, account.subject, seen=account.generation):
        return None
    handle = new_secret()
    lifetime = parts.lifetimes.enrollment_login
    begun = waiting_row(
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
    insert_sealed(tx, verifying, begun, _claim(begun))
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
    begun = waiting_row(
        subject,
        generation,
        token,
        purpose=Purpose.ENROLLMENT_LINK,
        expires_at=now + parts.lifetimes.enrollment_link,
        now=now,
    )
    insert_sealed(tx, verifying, begun, _claim(begun))
    return token


class WaitingLogins:
    """Finds the logins that wait for an enrollment."""

    def __init__(self, parts: Parts, verifying: Verifying) -> None:
        self._parts = parts
        self._verifying = verifying

    def find(self, tx: Connection, login: str, *, now: datetime) -> Waiting | Denied:
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
                return Waiting(begun, account, password, (), needs_link=True)
            case NoSecondFactor():
                return Waiting(begun, account, password, (), needs_link=False)
            case Authenticators(all=those) if begun.acr is not None:
                return Waiting(begun, account, password, those, needs_link=False)
            case _:  # a login that waits for a second factor enrolls nothing
                return Denied()

    def find_for(
        self, tx: Connection, login: str, factor: Factor, *, now: datetime
    ) -> Waiting | Refused | Denied:
        """Return the login of a handle, if *factor* may be enrolled in it."""
        waiting = self.find(tx, login, now=now)
        if isinstance(waiting, Denied):
            return waiting
        demands = demands_of(tx, self._parts, waiting.account, now=now)
        if not may_meet(factor, demands):
            return METHOD_NOT_ALLOWED
        return TOO_MANY if is_full(factor, waiting.has) else waiting

    def find_link(
        self, tx: Connection, link_digest: bytes, waiting: Waiting, *, now: datetime
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


def waiting_row(
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
    """Return the row of something that waits for an enrollment; `insert_sealed` writes it."""
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
        created_at=in_order(now),
    )


def _claim(begun: Pending) -> bytes:
    """Return what only the holder of a master key may say of a row."""
    moments = (begun.proven_at, begun.expires_at)
    stated = (one.isoformat() if one else "" for one in moments)
    shown, scope = begun.acr or "", " ".join(begun.scope)
    return "\n".join((begun.purpose, str(begun.generation), *stated, shown, scope)).encode()


def insert_sealed(tx: Connection, verifying: Verifying, begun: Pending, state: bytes) -> None:
    """Write a row with its state."""
    pending_store.insert_pending(tx, begun)
    pending_store.set_state(tx, begun.digest, state=verifying.seal_state(state, begun))
