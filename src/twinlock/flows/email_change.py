"""Another e-mail address: asked for in a session, in force when its mailbox answers.

    begin ── mail to the new address ── confirm      (in force; everything ends)
        └─── mail to the old address ── cancel       (void; works until the change is in force)

The address that an account has already is verified in the same way.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.email_changes import store as staged_emails
from twinlock.accounts.names import EmailAddress, EmailProblem, canonical_email, check_email
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.principal import User
from twinlock.core.proof import Continued
from twinlock.core.secrets import new_secret
from twinlock.flows import mailing
from twinlock.flows.changes import Allowed, Changes, Replaced
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired
from twinlock.flows.parts import Parts
from twinlock.flows.recovery import LINK_INVALID, find_link, mailed_link, require_mail, spend_link
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.pending import store as pending
from twinlock.pending.store import Pending, Purpose

NO_MAIL: Final = Refused("mail_unavailable", "This service sends no mail.")
UNCHANGED: Final = Refused("email_unchanged", "Your account has this address, and it is verified.")
TOO_MANY: Final = Refused("too_many_mails", "Too many mails were asked for. Try again tomorrow.")
EMAIL_TAKEN: Final = Refused("email_taken", "Another account has this e-mail address.")


class _TakenError(Exception):
    """Takes the whole confirmation back: another account has the address."""


class EmailChange:
    """Changes and verifies the e-mail address of an account on behalf of its owner."""

    def __init__(self, parts: Parts, verifying: Verifying, changes: Changes) -> None:
        self._parts = parts
        self._verifying = verifying
        self._changes = changes

    def begin(
        self, user: User, email: str, caller: Caller, *, transport: Transport, now: datetime
    ) -> SignedIn | StepUpRequired | Refused | Denied:
        """Mail the links; other sessions end, this one is replaced, the address stays for now."""
        done = self._parts.database.transaction(
            self._begin, user, email, caller, transport, now=now
        )
        if isinstance(done, Replaced):
            return self._changes.tell(done, now=now)
        return done

    def look(self, token: str, *, now: datetime) -> tuple[Account, str] | None:
        """Return the account of a living link and its address to come; nothing changes."""
        return self._parts.database.reading(self._look, token, now=now)

    def look_back(self, token: str, *, now: datetime) -> Account | None:
        """Return the account whose change a living link can stop; nothing changes."""
        found = self._parts.database.reading(
            find_link, self._parts, Purpose.EMAIL_CANCEL, token, now=now
        )
        return found[1] if found else None

    def confirm(self, token: str, caller: Caller, *, now: datetime) -> Account | Refused:
        """Put the new address in force, once; every session ends."""
        try:
            done = self._parts.database.transaction(self._confirm, token, caller, now=now)
        except _TakenError:
            return EMAIL_TAKEN
        if isinstance(done, Refused):
            return done
        account, ended = done
        self._parts.marks.bump(ended)
        return account

    def cancel(self, token: str, caller: Caller, *, now: datetime) -> Account | Refused:
        """Void a change that is not in force yet."""
        return self._parts.database.transaction(self._cancel, token, caller, now=now)

    def _begin(
        self,
        tx: Connection,
        user: User,
        email: str,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> Replaced | StepUpRequired | Refused | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        address = check_email(email)
        if isinstance(address, EmailProblem):
            return Refused(address.value, address.sentence)
        if self._parts.mail is None:
            return NO_MAIL
        account = allowed.account
        is_same = account.email is not None and canonical_email(account.email) == address.key
        if is_same and account.is_email_verified:
            return UNCHANGED
        if not _may_mail(tx, self._parts, account, address, now=now):
            return TOO_MANY
        replaced = self._changes.replace_session(
            tx,
            account,
            allowed.authenticators,
            Continued(user.context),
            user,
            caller,
            transport,
            now=now,
        )
        if isinstance(replaced, Denied):
            return replaced
        begun = replace(account, generation=account.generation + 1)
        _mail_confirmation(tx, self._parts, self._verifying, begun, address, now=now)
        if account.email is not None and account.is_email_verified:
            self._mail_cancel(tx, begun, account.email, now=now)
        self._record(tx, EventType.EMAIL_CHANGE_REQUESTED, account, caller, user=user, now=now)
        return replaced

    def _look(self, db: Connection, token: str, *, now: datetime) -> tuple[Account, str] | None:
        found = find_link(db, self._parts, Purpose.EMAIL_CHANGE, token, now=now)
        if found is None:
            return None
        try:
            state = self._verifying.open_state(found[0])
        except SealBrokenError:
            return None
        return found[1], (state or b"").decode()

    def _mail_cancel(self, tx: Connection, account: Account, email: str, *, now: datetime) -> None:
        token, begun = _stage(tx, self._parts, Purpose.EMAIL_CANCEL, account, now=now)
        link = require_mail(self._parts).letterhead.link("recovery", "email", "cancel", token)
        letter = Letter(Kind.EMAIL_CHANGE_BEGUN, email, _told(account, begun, link))
        _post(tx, self._parts, letter, account, now=now)

    def _confirm(
        self, tx: Connection, token: str, caller: Caller, *, now: datetime
    ) -> tuple[Account, list[str]] | Refused:
        found = find_link(tx, self._parts, Purpose.EMAIL_CHANGE, token, now=now)
        if found is None:
            return LINK_INVALID
        begun = found[0]
        account = spend_link(tx, self._parts, begun, now=now)
        if account is None:
            return LINK_INVALID
        try:
            state = self._verifying.open_state(begun) or b""
        except SealBrokenError:
            return LINK_INVALID
        address = check_email(state.decode())
        if isinstance(address, EmailProblem):
            return LINK_INVALID
        those = self._changes.sealed_authenticators(tx, account)
        awaits = account.awaits_enrollment
        if self._changes.raise_generation(tx, account, those, awaits_enrollment=awaits) is None:
            return LINK_INVALID
        ended = self._changes.end_all(tx, account, now=now)
        if not accounts.update_email(
            tx, account.host_id, email=address.text, email_key=address.key, verified_at=now
        ):
            raise _TakenError
        if account.email is None or canonical_email(account.email) != address.key:
            mailing.notify(tx, self._parts, account, Kind.EMAIL_CHANGED, now=now)
        self._record(tx, EventType.EMAIL_CHANGED, account, caller, now=now)
        return replace(account, email=address.text, is_email_verified=True), ended

    def _cancel(
        self, tx: Connection, token: str, caller: Caller, *, now: datetime
    ) -> Account | Refused:
        found = find_link(tx, self._parts, Purpose.EMAIL_CANCEL, token, now=now)
        if found is None:
            return LINK_INVALID
        account = spend_link(tx, self._parts, found[0], now=now)
        if account is None:
            return LINK_INVALID
        was_begun = pending.delete_of_purpose(tx, account.subject, purpose=Purpose.EMAIL_CHANGE)
        pending.delete_of_purpose(tx, account.subject, purpose=Purpose.EMAIL_CANCEL)
        staged = staged_emails.get_staged(tx, account.subject)
        was_staged = staged is not None and staged_emails.spend(tx, staged)  # by an admin
        if not was_begun and not was_staged:
            return LINK_INVALID
        self._record(tx, EventType.EMAIL_CHANGE_CANCELLED, account, caller, now=now)
        return account

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        account: Account,
        caller: Caller,
        *,
        user: User | None = None,
        now: datetime,
    ) -> None:
        session_id = user.session_id if user else None
        audit.record(tx, Event(type_, now, caller, subject=account.subject, session_id=session_id))


def mail_confirmation(
    tx: Connection,
    parts: Parts,
    verifying: Verifying,
    account: Account,
    address: EmailAddress,
    *,
    now: datetime,
) -> bool:
    """Ask a mailbox whether it is the account's; False where it was asked too often today."""
    if parts.mail is None:
        return True  # nobody can be asked
    if not _may_mail(tx, parts, account, address, now=now):
        return False
    _mail_confirmation(tx, parts, verifying, account, address, now=now)
    return True


def _may_mail(
    tx: Connection, parts: Parts, account: Account, address: EmailAddress, *, now: datetime
) -> bool:
    """Count the mail for the account, and for the mailbox over all who ask."""
    return all(
        mailing.may_mail(tx, parts, Kind.EMAIL_CONFIRMATION, who, now=now)
        for who in (account.subject, address.key)
    )


def _mail_confirmation(
    tx: Connection,
    parts: Parts,
    verifying: Verifying,
    account: Account,
    address: EmailAddress,
    *,
    now: datetime,
) -> None:
    token, begun = _stage(tx, parts, Purpose.EMAIL_CHANGE, account, now=now)
    state = verifying.seal_state(address.text.encode(), begun)
    pending.set_state(tx, begun.digest, state=state)
    link = require_mail(parts).letterhead.link("recovery", "email", token)
    letter = Letter(Kind.EMAIL_CONFIRMATION, address.text, _told(account, begun, link))
    _post(tx, parts, letter, account, now=now)


def _stage(
    tx: Connection, parts: Parts, purpose: Purpose, account: Account, *, now: datetime
) -> tuple[str, Pending]:
    token = new_secret()
    expires_at = now + parts.lifetimes.email_link
    begun = mailed_link(purpose, token, account, account.generation, expires_at, now)
    pending.insert_pending(tx, begun)
    return token, begun


def _post(tx: Connection, parts: Parts, letter: Letter, account: Account, *, now: datetime) -> None:
    lifetime = parts.lifetimes.email_link
    mailing.post(tx, parts, letter, subject=account.subject, lifetime=lifetime, now=now)


def _told(account: Account, begun: Pending, link: str) -> dict[str, str]:
    until = sentence_of(begun.expires_at)
    return {**mailing.who(account), "link": link, "until": until}
