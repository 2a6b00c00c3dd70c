"""What ends what: the one way in which a change to an account takes hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit.events import Caller
from twinlock.core.principal import User
from twinlock.core.proof import Acr, NoSecondFactor, Proof, Reason
from twinlock.devices import store as devices
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import (
    Authenticator,
    Authenticators,
    AwaitsEnrollment,
    SealBroken,
)
from twinlock.flows.opening import Opened, Opening, Transport
from twinlock.flows.outcomes import Denied, SignedIn, StepUpRequired
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.pending import store as pending
from twinlock.sessions import store as sessions


@dataclass(frozen=True, slots=True)
class Allowed:
    """A signed-in account that has just shown what a change to it demands."""

    account: Account
    authenticators: Sequence[Authenticator]


@dataclass(frozen=True, slots=True)
class Replaced:
    """Every session of the account ended, and its owner's was replaced."""

    opened: Opened
    ended: list[str]


class Changes:
    """Begins an account's next generation, which ends all that was begun under the last."""

    def __init__(self, parts: Parts, verifying: Verifying, opening: Opening) -> None:
        self._parts = parts
        self._verifying = verifying
        self._opening = opening

    def allow(
        self, db: Connection, user: User, *, now: datetime
    ) -> Allowed | StepUpRequired | Denied:
        """Demand a fresh proof, which includes an existing second factor if there is one."""
        account = self._parts.accounts.get(db, user.id)
        if account is None or account.is_disabled or account.generation != user.generation:
            return Denied()
        factors = self._verifying.factors_of(db, account)
        if isinstance(factors, SealBroken):
            self._verifying.told_apart(
                db, Reason.SEAL_BROKEN, account.subject, seen=account.generation
            )
            return Denied()
        if isinstance(factors, AwaitsEnrollment):
            return Denied()
        demanded = Acr.AAL2 if isinstance(factors, Authenticators) else Acr.AAL1
        fresh = self._parts.lifetimes.fresh
        if not user.acr.satisfies(demanded) or not user.is_fresh(fresh, now=now):
            return StepUpRequired(demanded, fresh)
        return Allowed(account, factors.all if isinstance(factors, Authenticators) else ())

    def raise_generation(
        self,
        tx: Connection,
        account: Account,
        authenticators_now: Sequence[Authenticator] | None,
        *,
        awaits_enrollment: bool = False,
    ) -> int | None:
        """Write the next generation and its seal.

        Args:
            authenticators_now: What the account has from now on. None carries a broken seal
                over as it stands: a change that is not about factors mends nothing.
            awaits_enrollment: Whether nothing opens the account until a factor is enrolled.

        Returns:
            The new generation, or None when the account changed since it was read.
        """
        generation = account.generation + 1
        seal = account.seal
        if authenticators_now is not None:
            seal = authenticators.make_seal(
                self._parts.keyring,
                account=account.subject,
                generation=generation,
                authenticators=authenticators_now,
                awaits_enrollment=awaits_enrollment,
            )
        is_mine = subjects.change(
            tx,
            account.subject,
            seen=account.generation,
            new_seal=seal,
            awaits_enrollment=awaits_enrollment,
        )
        return generation if is_mine else None

    def sealed_authenticators(
        self, db: Connection, account: Account
    ) -> Sequence[Authenticator] | None:
        """Return what the account has under a valid seal; None when the seal is broken."""
        match self._verifying.factors_of(db, account):
            case Authenticators(all=those):
                return those
            case NoSecondFactor() | AwaitsEnrollment():
                return ()
            case SealBroken():
                return None

    def end_all(self, tx: Connection, account: Account, *, now: datetime) -> list[str]:
        """End sessions, pending ceremonies and trusted devices; return the ended sessions' ids."""
        pending.delete_of_subject(tx, account.subject)
        devices.delete_of_subject(tx, account.subject)
        return sessions.end_sessions(tx, account.subject, now=now)

    def remove_every_factor(self, tx: Connection, account: Account) -> None:
        """Delete authenticators and recovery codes, whatever the seal says of them."""
        for one in authenticators.list_authenticators(tx, account.subject):
            factor = self._parts.factors.get(one.method)
            if factor is not None:
                factor.remove(tx, account.subject, one.id)
        authenticators.delete_all(tx, account.subject)
        self._parts.recovery_codes.remove_all(tx, account.subject)

    def replace_session(
        self,
        tx: Connection,
        account: Account,
        authenticators_now: Sequence[Authenticator],
        proof: Proof,
        user: User,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> Replaced | Denied:
        """Begin the next generation, end everything, and open a new session for its owner."""
        generation = self.raise_generation(tx, account, authenticators_now)
        if generation is None:
            return Denied()
        ended = self.end_all(tx, account, now=now)
        opened = self._opening.open_session(
            tx,
            account,
            proof,
            caller,
            generation=generation,
            scope=tuple(sorted(user.scope)),
            transport=transport,
            now=now,
        )
        return Replaced(opened, ended)

    def tell(self, replaced: Replaced, *, now: datetime) -> SignedIn:
        """Return what the owner's client is to hold, now that the transaction is committed."""
        self._parts.marks.bump(replaced.ended)
        credentials = self._opening.issue(replaced.opened, now=now)
        return SignedIn(credentials, replaced.opened.context)
