"""A reset of factors that an admin asks for: it waits a day, and can be called off.

request ── (a second admin, where the account is an admin's) ── 24 h ── done by the upkeep
   └─ mail to the owner, whose link stops it                                └─ mail to the owner,
                                                                whose link enrolls a new factor
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, ParamSpec, TypeVar

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.resets import store as resets
from twinlock.accounts.resets.store import StagedReset
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import ADMIN, User
from twinlock.core.proof import SubjectId
from twinlock.flows.acting import transaction_of
from twinlock.flows.changes import Changes
from twinlock.flows.mailing import post_enrollment_link
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.recovery import LINK_INVALID, find_link, spend_link
from twinlock.flows.staging import (
    AT_ONCE,
    CHANGED,
    DELAY,
    DISABLED,
    LIFETIME,
    OWN_ACCOUNT,
    OWNER_UNREACHABLE,
    TOO_MANY,
    is_acting_admin,
    is_alive,
    is_reachable,
    mail_cancel_link,
)
from twinlock.flows.verifying import Verifying
from twinlock.flows.waiting_logins import issue_link
from twinlock.installation import store as installation
from twinlock.mail.letters import Kind
from twinlock.pending import store as pending
from twinlock.pending.store import Pending, Purpose

NO_RESET: Final = Refused("not_found", "No reset waits for this account.")
RESET_WAITS: Final = Refused("reset_pending", "A reset waits for this account already.")
NEEDS_NO_APPROVAL: Final = Refused("approval_not_needed", "This reset waits for its time only.")
ANOTHER_ADMIN: Final = Refused(
    "second_admin_required", "Somebody other than who asked for it must approve it."
)

P = ParamSpec("P")
T = TypeVar("T")


class FactorResets:
    """Stages resets, calls them off, and does those whose time has come."""

    def __init__(self, parts: Parts, verifying: Verifying, changes: Changes) -> None:
        self._parts = parts
        self._verifying = verifying
        self._changes = changes

    def find(self, account: Account, *, now: datetime) -> StagedReset | None:
        """Return the reset that waits for an account, if it lives."""
        staged = self._parts.database.reading(
            resets.get_reset, self._parts.keyring, account.subject
        )
        return staged if staged is not None and is_alive(staged, account, now=now) else None

    def request(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        """Ask for a reset of an account's factors."""
        return transaction_of(user, self._parts, self._request, account, user, caller, now=now)

    def approve(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        """Agree as the second admin."""
        return transaction_of(user, self._parts, self._approve, account, user, caller, now=now)

    def cancel(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> Refused | None:
        """Call a reset off."""
        return transaction_of(user, self._parts, self._cancel, account, caller, now=now)

    def look(self, token: str, *, now: datetime) -> Account | None:
        """Return whose reset a mailed link can stop; changes nothing."""
        found = self._parts.database.reading(self._find_link, token, now=now)
        return found[1] if found else None

    def stop(self, token: str, caller: Caller, *, now: datetime) -> Account | Refused:
        """Call a reset off with the link that its owner was mailed, once."""
        return self._parts.database.transaction(self._stop, token, caller, now=now)

    def work(self, *, now: datetime) -> int:
        """Do every reset whose time has come and return how many that were.

        Several processes may do it at once: each reset is done by one of them.
        """
        done = 0
        after = ""
        while due := self._parts.database.reading(
            resets.list_due, self._parts.keyring, now=now, after=after, limit=AT_ONCE
        ):
            after = due[-1].subject
            for staged in due:
                ended = self._parts.database.transaction(self._finish, staged, now=now)
                if ended is not None:
                    self._parts.marks.bump(ended)
                    done += 1
        return done

    def _request(
        self, tx: Connection, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        if account.subject == user.id:
            return OWN_ACCOUNT
        if account.is_disabled:
            return DISABLED
        if not is_reachable(self._parts, account):
            return OWNER_UNREACHABLE
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return CHANGED
        staged = resets.get_reset(tx, self._parts.keyring, account.subject)
        if staged is not None:
            if is_alive(staged, account, now=now):
                return RESET_WAITS
            resets.spend(tx, staged)
        if not self._tell_owner(tx, account, now=now):
            return TOO_MANY
        new = StagedReset(
            subject=account.subject,
            generation=account.generation,
            requested_by=user.id,
            approved_by=None,
            requested_at=now,
            due_at=now + DELAY,
            expires_at=now + LIFETIME,
        )
        if not resets.insert_reset(tx, self._parts.keyring, new):
            return RESET_WAITS
        self._record(tx, EventType.FACTOR_RESET_REQUESTED, account.subject, caller, now=now)
        return new

    def _approve(
        self, tx: Connection, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> StagedReset | Refused:
        staged = resets.get_reset(tx, self._parts.keyring, account.subject)
        if staged is None or not is_alive(staged, account, now=now):
            return NO_RESET
        if ADMIN not in account.roles:
            return NEEDS_NO_APPROVAL
        if user.id in {staged.requested_by, account.subject}:
            return ANOTHER_ADMIN
        approved = resets.approve(tx, self._parts.keyring, account.subject, by=user.id)
        if approved is None:
            return NEEDS_NO_APPROVAL
        self._record(tx, EventType.FACTOR_RESET_APPROVED, account.subject, caller, now=now)
        return approved

    def _cancel(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> Refused | None:
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return NO_RESET
        staged = resets.get_reset(tx, self._parts.keyring, account.subject)
        if staged is None or not resets.spend(tx, staged):
            return NO_RESET
        pending.delete_of_purpose(tx, account.subject, purpose=Purpose.RESET_CANCEL)
        self._record(tx, EventType.FACTOR_RESET_CANCELLED, account.subject, caller, now=now)
        return None

    def _find_link(
        self, db: Connection, token: str, *, now: datetime
    ) -> tuple[Pending, Account] | None:
        return find_link(db, self._parts, Purpose.RESET_CANCEL, token, now=now)

    def _stop(
        self, tx: Connection, token: str, caller: Caller, *, now: datetime
    ) -> Account | Refused:
        found = self._find_link(tx, token, now=now)
        account = spend_link(tx, self._parts, found[0], now=now) if found else None
        staged = resets.get_reset(tx, self._parts.keyring, account.subject) if account else None
        if account is None or staged is None or not resets.spend(tx, staged):
            return LINK_INVALID
        details = {"by": "owner"}
        self._record(
            tx, EventType.FACTOR_RESET_CANCELLED, account.subject, caller, details=details, now=now
        )
        return account

    def _tell_owner(self, tx: Connection, account: Account, *, now: datetime) -> bool:
        return mail_cancel_link(
            tx,
            self._parts,
            account,
            Kind.FACTOR_RESET_REQUESTED,
            Purpose.RESET_CANCEL,
            "recovery",
            "factors",
            "cancel",
            now=now,
        )

    def _finish(self, tx: Connection, staged: StagedReset, *, now: datetime) -> list[str] | None:
        """Do or drop one reset; None where nothing was reset."""
        installation.lock_admins(tx)
        account = self._parts.accounts.get(tx, staged.subject)
        if not staged.is_ours:
            self._drop(tx, staged, "nobody asked for it here: its seal is broken", now=now)
            return None
        if account is None or not is_alive(staged, account, now=now):
            self._drop(tx, staged, "the account changed or it is too late", now=now)
            return None
        if not is_acting_admin(tx, self._parts, staged.requested_by):
            self._drop(tx, staged, "who asked for it is no admin any more", now=now)
            return None
        if not is_reachable(self._parts, account):
            self._drop(tx, staged, "the owner cannot be sent the link that leads back", now=now)
            return None
        if ADMIN in account.roles and not is_acting_admin(tx, self._parts, staged.approved_by):
            return None
        # The account's row first, as everywhere, so that nobody waits for each other.
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return None
        if not resets.spend(tx, staged):
            return None
        generation = self._changes.raise_generation(tx, account, (), awaits_enrollment=True)
        if generation is None:
            return None
        self._changes.remove_every_factor(tx, account)
        caller = Caller(actor=f"admin:{staged.requested_by}")
        self._record(tx, EventType.FACTORS_RESET, account.subject, caller, now=now)
        ended = self._changes.end_all(tx, account, now=now)
        link = issue_link(
            tx, self._parts, self._verifying, account.subject, generation=generation, now=now
        )
        post_enrollment_link(tx, self._parts, account, link, now=now)
        return ended

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
        details: Mapping[str, str] | None = None,
        now: datetime,
    ) -> None:
        audit.record(tx, Event(type_, now, caller, subject=subject, details=details or {}))
