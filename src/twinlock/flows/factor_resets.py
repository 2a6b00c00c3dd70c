"""A reset of factors that an admin asks for: it waits a day, and can be called off.

request ── (a second admin, where the account is an admin's) ── 24 h ── done by the upkeep
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.resets import store as resets
from twinlock.accounts.resets.store import StagedReset
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import ADMIN, User
from twinlock.core.proof import SubjectId
from twinlock.flows.acting import hold_admin
from twinlock.flows.changes import Changes
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.installation import store as installation

DELAY: Final = timedelta(hours=24)
LIFETIME: Final = timedelta(days=7)
_AT_ONCE: Final = 50

OWN_ACCOUNT: Final = Refused(
    "own_account", "Change your own factors in your own account, or ask another admin."
)
NO_RESET: Final = Refused("not_found", "No reset waits for this account.")
RESET_WAITS: Final = Refused("reset_pending", "A reset waits for this account already.")
NEEDS_NO_APPROVAL: Final = Refused("approval_not_needed", "This reset waits for its time only.")
ANOTHER_ADMIN: Final = Refused(
    "second_admin_required", "Somebody other than who asked for it must approve it."
)
CHANGED: Final = Refused("changed_meanwhile", "The account changed just now. Try again.")

P = ParamSpec("P")
T = TypeVar("T")


class FactorResets:
    """Stages resets, calls them off, and does those whose time has come."""

    def __init__(self, parts: Parts, changes: Changes) -> None:
        self._parts = parts
        self._changes = changes

    def find(self, account: Account, *, now: datetime) -> StagedReset | None:
        """Return the reset that waits for an account, if it lives."""
        staged = self._parts.database.reading(resets.get_reset, account.subject)
        return staged if staged is not None and is_alive(staged, account, now=now) else None

    def request(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        """Ask for a reset of an account's factors."""
        return self._as_admin(user, self._request, account, user, caller, now=now)

    def approve(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        """Agree as the second admin."""
        return self._as_admin(user, self._approve, account, user, caller, now=now)

    def cancel(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> Refused | None:
        """Call a reset off."""
        return self._as_admin(user, self._cancel, account, caller, now=now)

    def work(self, *, now: datetime) -> int:
        """Do every reset whose time has come and return how many that were.

        Several processes may do it at once: each reset is done by one of them.
        """
        done = 0
        after = ""
        while due := self._parts.database.reading(
            resets.list_due, now=now, after=after, limit=_AT_ONCE
        ):
            after = due[-1].subject
            for staged in due:
                ended = self._parts.database.transaction(self._finish, staged, now=now)
                if ended is not None:
                    self._parts.marks.bump(ended)
                    done += 1
        return done

    def _as_admin(
        self,
        user: User,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def checked(tx: Connection) -> T:
            hold_admin(tx, self._parts, user)
            return work(tx, *args, **kwargs)

        return self._parts.database.transaction(checked)

    def _request(
        self, tx: Connection, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        if account.subject == user.id:
            return OWN_ACCOUNT
        staged = resets.get_reset(tx, account.subject)
        if staged is not None:
            if is_alive(staged, account, now=now):
                return RESET_WAITS
            resets.spend(tx, staged)
        new = StagedReset(
            subject=account.subject,
            generation=account.generation,
            requested_by=user.id,
            approved_by=None,
            requested_at=now,
            due_at=now + DELAY,
            expires_at=now + LIFETIME,
        )
        if not resets.insert_reset(tx, new):
            return RESET_WAITS
        self._record(tx, EventType.FACTOR_RESET_REQUESTED, account.subject, caller, now=now)
        return new

    def _approve(
        self, tx: Connection, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        staged = resets.get_reset(tx, account.subject)
        if staged is None or not is_alive(staged, account, now=now):
            return NO_RESET
        if ADMIN not in account.roles:
            return NEEDS_NO_APPROVAL
        if user.id in {staged.requested_by, account.subject}:
            return ANOTHER_ADMIN
        if not resets.approve(tx, staged, by=user.id):
            return NEEDS_NO_APPROVAL
        self._record(tx, EventType.FACTOR_RESET_APPROVED, account.subject, caller, now=now)
        return resets.get_reset(tx, account.subject) or NO_RESET

    def _cancel(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> Refused | None:
        staged = resets.get_reset(tx, account.subject)
        if staged is None or not resets.spend(tx, staged):
            return NO_RESET
        self._record(tx, EventType.FACTOR_RESET_CANCELLED, account.subject, caller, now=now)
        return None

    def _finish(self, tx: Connection, staged: StagedReset, *, now: datetime) -> list[str] | None:
        """Do or drop one reset; None where nothing was reset."""
        installation.lock_admins(tx)
        account = self._parts.accounts.get(tx, staged.subject)
        if account is None or not is_alive(staged, account, now=now):
            self._drop(tx, staged, "the account changed or it is too late", now=now)
            return None
        if not self._is_admin(tx, staged.requested_by):
            self._drop(tx, staged, "who asked for it is no admin any more", now=now)
            return None
        if ADMIN in account.roles and not self._is_admin(tx, staged.approved_by):
            return None
        if not resets.spend(tx, staged):
            return None
        generation = self._changes.raise_generation(tx, account, (), awaits_enrollment=True)
        if generation is None:
            return None
        self._changes.remove_every_factor(tx, account)
        caller = Caller(actor=f"admin:{staged.requested_by}")
        self._record(tx, EventType.FACTORS_RESET, account.subject, caller, now=now)
        return self._changes.end_all(tx, account, now=now)

    def _is_admin(self, db: Connection, subject: SubjectId | None) -> bool:
        account = None if subject is None else self._parts.accounts.get(db, subject)
        return account is not None and ADMIN in account.roles and not account.is_disabled

    def _drop(self, tx: Connection, staged: StagedReset, why: str, *, now: datetime) -> None:
        if resets.spend(tx, staged):
            event = Event(
                EventType.FACTOR_RESET_CANCELLED,
                now,
                Caller(actor=f"admin:{staged.requested_by}"),
                subject=staged.subject,
                details={"why": why},
            )
            audit.record(tx, event)

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        subject: SubjectId,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        audit.record(tx, Event(type_, now, caller, subject=subject))


def is_alive(staged: StagedReset, account: Account, *, now: datetime) -> bool:
    """Tell whether a reset can still be done: the account is as it was when it was asked for."""
    return staged.generation == account.generation and now < staged.expires_at
