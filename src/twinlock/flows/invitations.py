"""Invitations: an account whose owner chooses the first password, through a mailed link.

    invite ── mail ──┬─ begin ── hash ── finish ── Welcomed (a login that enrolls)
    (an account      └─ revoke
     without password)

An invitation is bound to its account's generation: another invitation, another address, and
whatever else changes the account void it. The address is verified by whoever reads the mail there.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.names import EmailAddress, EmailProblem, canonical_email, check_email
from twinlock.accounts.password_check import NewHash
from twinlock.accounts.password_policy import PasswordProblem
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.principal import ADMIN, User
from twinlock.core.proof import SubjectId
from twinlock.core.secrets import new_secret
from twinlock.flows import mailing
from twinlock.flows.account_making import (
    TAKEN,
    NewAccount,
    UndoneError,
    check_roles,
    make_account,
)
from twinlock.flows.acting import transaction_of
from twinlock.flows.changes import Changes
from twinlock.flows.demands import demands_of
from twinlock.flows.email_change import EMAIL_TAKEN, NO_MAIL
from twinlock.flows.first_password import Welcomed, welcome
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.policing import Named, PasswordPolicy
from twinlock.flows.recovery import LINK_INVALID, find_link, mailed_link, require_mail, spend_link
from twinlock.flows.verifying import Verifying
from twinlock.installation import store as installation
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.pending import store as pending
from twinlock.pending.store import Pending, Purpose

TOO_MANY: Final = Refused("too_many_mails", "Too many mails went there today. Try again tomorrow.")
NOT_FOUND: Final = Refused("not_found", "There is no such invitation.")
_APART: Final = "\n"  # is in no address


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation that nobody has accepted yet.

    Attributes:
        link: What was mailed; None where it is only listed.
    """

    account: Account
    created_at: datetime
    expires_at: datetime
    link: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom a living link invites.

    Attributes:
        inviter: Who invited, by name; None where an operator did at the command line.
    """

    account: Account
    inviter: str | None


@dataclass(frozen=True, slots=True)
class AcceptanceBegun:
    """A living invitation, and a password that the policy accepts; it is to be hashed now."""

    begun: Pending
    account: Account


class Invitations:
    """Invites people, and lets them in once."""

    def __init__(
        self,
        parts: Parts,
        verifying: Verifying,
        changes: Changes,
        policy: PasswordPolicy,
        *,
        is_enabled: bool,
    ) -> None:
        """Keep the parts; where it is not enabled, nothing of it may be called."""
        self._parts = parts
        self._verifying = verifying
        self._changes = changes
        self._policy = policy
        self._actor: User | None = None
        self.is_enabled = is_enabled

    def acting_as(self, user: User) -> "Invitations":
        """Return the same for a signed-in admin, who must still be one when a change is made."""
        other = copy(self)
        other._actor = user
        return other

    @property
    def longest(self) -> timedelta:
        """How long an invitation lives at most."""
        return self._parts.lifetimes.invitation_link

    def invite(
        self,
        new: NewAccount,
        caller: Caller,
        *,
        lifetime: timedelta | None = None,
        now: datetime,
    ) -> Invitation | Refused:
        """Mail an invitation: for a new account, or for one that has no password yet.

        An older invitation of the account is void. None lives longer than `longest`.
        """
        lives = min(lifetime or self.longest, self.longest)
        address = check_email(new.email or "")
        if isinstance(address, EmailProblem):
            return Refused(address.value, address.sentence)
        if self._parts.mail is None:
            return NO_MAIL
        try:
            return transaction_of(
                self._actor, self._parts, self._invite, new, address, caller, lives, now=now
            )
        except UndoneError as undone:
            return undone.refused

    def list_waiting(self, *, after: str, limit: int, now: datetime) -> Sequence[Invitation]:
        """Return invitations that wait, in the order of their accounts' ids."""
        return self._parts.database.reading(self._list, after, limit, now=now)

    def revoke(self, subject: SubjectId, caller: Caller, *, now: datetime) -> Refused | None:
        """Void the invitation of an account; the account stays, and nobody can sign in to it."""
        return transaction_of(self._actor, self._parts, self._revoke, subject, caller, now=now)

    def look(self, token: str, *, now: datetime) -> Invited | None:
        """Return whom a living link invites; looking changes nothing."""
        if not self.is_enabled:
            return None
        found = self._parts.database.reading(
            find_link, self._parts, Purpose.INVITATION, token, now=now
        )
        stated = found and self._stated(found[0])
        return Invited(found[1], stated[1]) if found and stated else None

    def begin(self, token: str, password: str, *, now: datetime) -> AcceptanceBegun | Refused:
        """Check a link and a password. An unacceptable password leaves the link as it is."""
        return self._parts.database.reading(self._begin, token, password, now=now)

    def finish(
        self, accepted: AcceptanceBegun, new_hash: NewHash, caller: Caller, *, now: datetime
    ) -> Welcomed | Refused:
        """Spend the link, set the password, and let the first factor be enrolled."""
        try:
            return self._parts.database.transaction(
                self._finish, accepted.begun, new_hash, caller, now=now
            )
        except UndoneError as undone:
            return undone.refused

    def _invite(
        self,
        tx: Connection,
        new: NewAccount,
        address: EmailAddress,
        caller: Caller,
        lifetime: timedelta,
        *,
        now: datetime,
    ) -> Invitation | Refused:
        if not mailing.may_mail(tx, self._parts, Kind.INVITATION, address.key, now=now):
            return TOO_MANY
        if self._parts.accounts.find(tx, address.text) is not None:
            return TAKEN
        found = self._parts.accounts.find(tx, new.username)
        if found is not None:
            account = self._again(tx, found, new, address)
        else:
            unverified = replace(new, is_email_verified=False)
            account = make_account(tx, self._parts, unverified, caller, now=now)
        if isinstance(account, Refused):
            raise UndoneError(account)
        return self._mail(tx, account, address, caller, lifetime, now=now)

    def _again(
        self, tx: Connection, account: Account, new: NewAccount, address: EmailAddress
    ) -> Account | Refused:
        """Begin the next generation of an account that nobody has ever got into.

        It gets the roles of this invitation: those of the one before may be why it is repeated.
        """
        if refused := check_roles(new.roles):
            return refused
        if ADMIN in {*new.roles, *account.roles}:
            installation.lock_admins(tx)
        is_other = account.email is not None and canonical_email(account.email) != address.key
        if (
            account.password_hash is not None
            or account.is_disabled
            or account.is_email_verified
            or is_other
            or self._changes.sealed_authenticators(tx, account) != ()
            or account.awaits_enrollment
        ):
            return TAKEN
        generation = self._changes.raise_generation(tx, account, ())
        if generation is None:
            return TAKEN
        pending.delete_of_subject(tx, account.subject)
        accounts.update_email(
            tx, account.host_id, email=address.text, email_key=address.key, verified_at=None
        )
        accounts.update_roles(tx, account.host_id, roles=new.roles)
        roles = tuple(sorted(set(new.roles)))
        return replace(account, generation=generation, email=address.text, roles=roles)

    def _mail(
        self,
        tx: Connection,
        account: Account,
        address: EmailAddress,
        caller: Caller,
        lifetime: timedelta,
        *,
        now: datetime,
    ) -> Invitation:
        token, ends_at = new_secret(), now + lifetime
        begun = mailed_link(Purpose.INVITATION, token, account, account.generation, ends_at, now)
        pending.insert_pending(tx, begun)
        inviter = self._actor and (self._actor.full_name or self._actor.username)
        said = f"{address.text}{_APART}{inviter or ''}"
        state = self._verifying.seal_state(said.encode(), begun)
        pending.set_state(tx, begun.digest, state=state)
        link = require_mail(self._parts).letterhead.link("invitations", token)
        told = {**mailing.who(account), "link": link, "until": sentence_of(ends_at)}
        letter = Letter(Kind.INVITATION, address.text, told)
        mailing.post(tx, self._parts, letter, subject=account.subject, lifetime=lifetime, now=now)
        self._record(tx, EventType.INVITATION_SENT, account.subject, caller, now=now)
        return Invitation(account, now, ends_at, link)

    def _list(
        self, db: Connection, after: str, limit: int, *, now: datetime
    ) -> Sequence[Invitation]:
        found = pending.list_of_purpose(
            db, purpose=Purpose.INVITATION, after=after, limit=limit, now=now
        )
        return [
            Invitation(account, one.created_at, one.expires_at)
            for one in found
            if (account := self._parts.accounts.get(db, one.subject))
            and account.generation == one.generation
        ]

    def _revoke(
        self, tx: Connection, subject: SubjectId, caller: Caller, *, now: datetime
    ) -> Refused | None:
        account = self._parts.accounts.get(tx, subject)
        if account is None or not subjects.lock(tx, subject, seen=account.generation):
            return NOT_FOUND
        if not pending.delete_of_purpose(tx, subject, purpose=Purpose.INVITATION):
            return NOT_FOUND
        self._record(tx, EventType.INVITATION_REVOKED, subject, caller, now=now)
        return None

    def _begin(
        self, db: Connection, token: str, password: str, *, now: datetime
    ) -> AcceptanceBegun | Refused:
        found = find_link(db, self._parts, Purpose.INVITATION, token, now=now)
        if found is None:
            return LINK_INVALID
        begun, account = found
        named = Named(account.username, account.email, account.full_name)
        demands = demands_of(db, self._parts, account, now=now)
        problem = self._policy.check(password, named, has_second_factor=demands.second_factor)
        if isinstance(problem, PasswordProblem):
            return Refused(problem.value, problem.sentence)
        return AcceptanceBegun(begun, account)

    def _finish(
        self, tx: Connection, begun: Pending, new_hash: NewHash, caller: Caller, *, now: datetime
    ) -> Welcomed | Refused:
        account = spend_link(tx, self._parts, begun, now=now)
        stated = self._stated(begun)
        if (
            account is None
            or stated is None
            or self._changes.sealed_authenticators(tx, account) != ()
        ):
            raise UndoneError(LINK_INVALID)
        generation = self._changes.raise_generation(tx, account, ())
        if generation is None:
            raise UndoneError(LINK_INVALID)
        self._changes.end_all(tx, account, now=now)
        address, _ = stated
        if not accounts.update_email(
            tx, account.host_id, email=address.text, email_key=address.key, verified_at=now
        ):
            raise UndoneError(EMAIL_TAKEN)
        self._record(tx, EventType.INVITATION_ACCEPTED, account.subject, caller, now=now)
        current = replace(
            account, generation=generation, email=address.text, is_email_verified=True
        )
        return welcome(tx, self._parts, self._verifying, current, new_hash, now=now)

    def _stated(self, begun: Pending) -> tuple[EmailAddress, str | None] | None:
        """Return the address that was invited, and by whom, if we wrote it."""
        try:
            state = self._verifying.open_state(begun) or b""
        except SealBrokenError:
            return None
        said, _, inviter = state.decode().partition(_APART)
        address = check_email(said)
        return None if isinstance(address, EmailProblem) else (address, inviter or None)

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
