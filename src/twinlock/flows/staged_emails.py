"""Another e-mail address that an admin asked for: it waits a day, and the old one can stop it.

stage ── 24 h ── in force, unverified (the upkeep; everything ends) ── mail to the new address
  └─ mail to the old address ── cancel                                 └─ confirm: verified

An address is a way back into an account. So the old mailbox hears of it first, and the new one is
worth nothing before it has answered.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.email_changes import store as emails
from twinlock.accounts.email_changes.store import StagedEmail
from twinlock.accounts.names import EmailAddress, EmailProblem, canonical_email, check_email
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.flows import mailing
from twinlock.flows.acting import hold_admin
from twinlock.flows.changes import Changes
from twinlock.flows.email_change import UNCHANGED, mail_confirmation
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.staging import (
    AT_ONCE,
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
from twinlock.installation import store as installation
from twinlock.mail.letters import Kind
from twinlock.pending.store import Purpose

EMAIL_WAITS: Final = Refused("email_change_pending", "Another address waits for this account.")
NONE_WAITS: Final = Refused("not_found", "No other address waits for this account.")
TAKEN: Final = Refused("taken", "Another account has this user name or e-mail address.")


class _TakenError(Exception):
    """Takes the change back: another account got the address meanwhile."""


class _TooManyMailsError(Exception):
    """Takes the change back: the new mailbox was asked too often today."""


class StagedEmails:
    """Stages other addresses, calls them off, and puts in force those whose time has come."""

    def __init__(self, parts: Parts, verifying: Verifying, changes: Changes) -> None:
        self._parts = parts
        self._verifying = verifying
        self._changes = changes

    def find(self, account: Account, *, now: datetime) -> StagedEmail | None:
        """Return the address that waits for an account, if it lives."""
        staged = self._parts.database.reading(emails.get_staged, account.subject)
        return staged if staged is not None and is_alive(staged, account, now=now) else None

    def stage(
        self,
        tx: Connection,
        account: Account,
        address: EmailAddress,
        user: User,
        caller: Caller,
        *,
        now: datetime,
    ) -> Refused | None:
        """Have an address wait for an account whose row is held; None when it does."""
        refused = self._why_not(tx, account, address, user)
        if refused is not None:
            return refused
        older = emails.get_staged(tx, account.subject)
        if older is not None:
            if is_alive(older, account, now=now):
                return EMAIL_WAITS
            emails.spend(tx, older)
        if account.email is not None and account.is_email_verified:
            if not is_reachable(self._parts, account):
                return OWNER_UNREACHABLE
            if not self._tell_owner(tx, account, now=now):
                return TOO_MANY
        staged = StagedEmail(
            subject=account.subject,
            generation=account.generation,
            email=address.text,
            requested_by=user.id,
            requested_at=now,
            due_at=now + DELAY,
            expires_at=now + LIFETIME,
        )
        if not emails.insert_staged(tx, staged):
            return EMAIL_WAITS
        event = Event(EventType.EMAIL_CHANGE_REQUESTED, now, caller, subject=account.subject)
        audit.record(tx, event)
        return None

    def cancel(
        self, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> Refused | None:
        """Call off what an admin asked for."""
        return self._parts.database.transaction(self._cancel, account, user, caller, now=now)

    def work(self, *, now: datetime) -> int:
        """Put in force every address whose time has come; return how many that were.

        Several processes may do it at once: each change is made by one of them.
        """
        done = 0
        after = ""
        while due := self._parts.database.reading(
            emails.list_due, now=now, after=after, limit=AT_ONCE
        ):
            after = due[-1].subject
            for staged in due:
                done += self._finish_or_drop(staged, now=now)
        return done

    def _why_not(
        self, tx: Connection, account: Account, address: EmailAddress, user: User
    ) -> Refused | None:
        if account.subject == user.id:
            return OWN_ACCOUNT
        if account.is_disabled:
            return DISABLED
        if account.email is not None and canonical_email(account.email) == address.key:
            return UNCHANGED
        return TAKEN if accounts.is_email_taken(tx, address.key) else None

    def _tell_owner(self, tx: Connection, account: Account, *, now: datetime) -> bool:
        return mail_cancel_link(
            tx,
            self._parts,
            account,
            Kind.EMAIL_CHANGE_STAGED,
            Purpose.EMAIL_CANCEL,
            "recovery",
            "email",
            "cancel",
            now=now,
        )

    def _cancel(
        self, tx: Connection, account: Account, user: User, caller: Caller, *, now: datetime
    ) -> Refused | None:
        hold_admin(tx, self._parts, user)
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return NONE_WAITS
        staged = emails.get_staged(tx, account.subject)
        if staged is None or not emails.spend(tx, staged):
            return NONE_WAITS
        self._record_end(tx, staged, caller, now=now)
        return None

    def _finish_or_drop(self, staged: StagedEmail, *, now: datetime) -> bool:
        try:
            ended = self._parts.database.transaction(self._finish, staged, now=now)
        except _TakenError:
            why = "another account has the address"
            self._parts.database.transaction(self._drop, staged, why, now=now)
            return False
        except _TooManyMailsError:
            return False  # it waits on, until a confirmation may be mailed
        if ended is None:
            return False
        self._parts.marks.bump(ended)
        return True

    def _finish(self, tx: Connection, staged: StagedEmail, *, now: datetime) -> list[str] | None:
        """Put one address in force, or drop it; None where nothing changed."""
        installation.lock_admins(tx)
        account = self._parts.accounts.get(tx, staged.subject)
        address = check_email(staged.email)
        if account is None or isinstance(address, EmailProblem):
            self._drop(tx, staged, "the account is gone", now=now)
            return None
        if not is_alive(staged, account, now=now):
            self._drop(tx, staged, "the account changed or it is too late", now=now)
            return None
        if not is_acting_admin(tx, self._parts, staged.requested_by):
            self._drop(tx, staged, "who asked for it is no admin any more", now=now)
            return None
        if accounts.is_email_taken(tx, address.key):
            raise _TakenError
        # The account's row first, as everywhere, so that nobody waits for each other.
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return None
        if not emails.spend(tx, staged):
            return None
        those = self._changes.sealed_authenticators(tx, account)
        generation = self._changes.raise_generation(
            tx, account, those, awaits_enrollment=account.awaits_enrollment
        )
        if generation is None:
            return None
        ended = self._changes.end_all(tx, account, now=now)
        if not accounts.update_email(
            tx, account.host_id, email=address.text, email_key=address.key, verified_at=None
        ):
            raise _TakenError
        mailing.notify(tx, self._parts, account, Kind.EMAIL_CHANGED, now=now)
        changed = replace(account, generation=generation, email=address.text)
        if not mail_confirmation(tx, self._parts, self._verifying, changed, address, now=now):
            raise _TooManyMailsError  # else the owner had no link, and no address that counts
        caller = Caller(actor=f"admin:{staged.requested_by}")
        audit.record(tx, Event(EventType.EMAIL_CHANGED, now, caller, subject=account.subject))
        return ended

    def _drop(self, tx: Connection, staged: StagedEmail, why: str, *, now: datetime) -> None:
        if emails.spend(tx, staged):
            caller = Caller(actor=f"admin:{staged.requested_by}")
            self._record_end(tx, staged, caller, why=why, now=now)

    def _record_end(
        self,
        tx: Connection,
        staged: StagedEmail,
        caller: Caller,
        *,
        why: str | None = None,
        now: datetime,
    ) -> None:
        """Write down that it was called off.

        The links that could have done so stay, since they also stop a change that the owner's
        own session began; without either they stop nothing.
        """
        details = {"why": why} if why else {}
        type_ = EventType.EMAIL_CHANGE_CANCELLED
        audit.record(tx, Event(type_, now, caller, subject=staged.subject, details=details))
