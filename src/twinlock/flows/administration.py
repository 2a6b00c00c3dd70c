"""What an operator does to accounts. Nobody but the account itself ever learns a secret of it."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.names import EmailAddress, EmailProblem, check_email
from twinlock.accounts.password_check import NewHash
from twinlock.accounts.password_policy import PasswordProblem
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import ADMIN, User
from twinlock.core.proof import SubjectId
from twinlock.flows import mailing
from twinlock.flows.account_making import (
    MANAGED_ELSEWHERE,
    TAKEN,
    Imported,
    NewAccount,
    UndoneError,
    check_roles,
    import_account,
    make_account,
)
from twinlock.flows.acting import transaction_of
from twinlock.flows.changes import Changes
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.policing import Named, PasswordPolicy
from twinlock.flows.staged_emails import StagedEmails
from twinlock.flows.staging import OWN_ACCOUNT
from twinlock.installation import store as installation
from twinlock.mail.letters import Kind
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session

LAST_ADMIN: Final = Refused("last_admin", "This is the last administrator.")
CHANGED: Final = Refused("changed_meanwhile", "The account changed just now. Try again.")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Done:
    """A change that took hold, and the sessions that it ended."""

    account: Account
    ended: list[str]


class Administration:
    """Makes, changes and ends accounts, and helps their owners in and out."""

    def __init__(
        self,
        parts: Parts,
        counting: Counting,
        changes: Changes,
        policy: PasswordPolicy,
        staged_emails: StagedEmails,
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._changes = changes
        self._policy = policy
        self._staged_emails = staged_emails
        self._actor: User | None = None

    def acting_as(self, user: User) -> "Administration":
        """Return the same for a signed-in admin, who must still be one when a change is made."""
        other = copy(self)
        other._actor = user
        return other

    def check_password(self, password: str, new: NewAccount) -> PasswordProblem | None:
        """Return why *password* is refused for this account, or None."""
        return self._policy.check(password, Named(new.username, new.email, new.full_name))

    def find(self, login: str) -> Account | None:
        """Return the account of a username or a verified e-mail address."""
        return self._parts.database.reading(self._parts.accounts.find, login)

    def get(self, subject: SubjectId) -> Account | None:
        """Return the open account of a subject."""
        return self._parts.database.reading(self._parts.accounts.get, subject)

    def create(self, new: NewAccount, caller: Caller, *, now: datetime) -> Account | Refused:
        """Make an account."""
        return transaction_of(
            self._actor, self._parts, make_account, self._parts, new, caller, now=now
        )

    def import_account(
        self,
        new: NewAccount,
        imported: Sequence[Imported],
        caller: Caller,
        *,
        now: datetime,
    ) -> Account | Refused:
        """Make an account from elsewhere, its authenticators included, in one transaction."""
        try:
            return self._parts.database.transaction(
                import_account, self._parts, self._changes, new, imported, caller, now=now
            )
        except UndoneError as undone:
            return undone.refused

    def change(
        self,
        account: Account,
        caller: Caller,
        *,
        email: str | None = None,
        full_name: str | None = None,
        roles: Sequence[str] | None = None,
        now: datetime,
    ) -> Account | Refused:
        """Set what is given; a new address or new roles end every session.

        An operator's address counts at once. An admin's waits a day, and the old one can stop it.
        """
        address = check_email(email) if email is not None else None
        if isinstance(address, EmailProblem):
            return Refused(address.value, address.sentence)
        refused = check_roles(roles or ())
        if refused is not None:
            return refused
        return self._run(self._change, account, address, full_name, roles, caller, now=now)

    def set_password(
        self,
        account: Account,
        password: NewHash,
        caller: Caller,
        *,
        expires_at: datetime | None = None,
        now: datetime,
    ) -> Account | Refused:
        """Set a password from the command line; every session ends, factors stay."""
        return self._run(self._set_password, account, password, expires_at, caller, now=now)

    def disable(self, account: Account, caller: Caller, *, now: datetime) -> Account | Refused:
        """Keep an account from everything, at once."""
        return self._run(self._disable, account, caller, now=now)

    def enable(self, account: Account, caller: Caller, *, now: datetime) -> Account | Refused:
        """Let a disabled account sign in again."""
        return self._run(self._enable, account, caller, now=now)

    def delete(self, account: Account, caller: Caller, *, now: datetime) -> Account | Refused:
        """Delete an account for good; its ``sub`` is never given out again."""
        return self._run(self._delete, account, caller, now=now)

    def unlock(self, account: Account, caller: Caller, *, now: datetime) -> None:
        """Forget the account's counts of wrong passwords and wrong codes."""
        transaction_of(self._actor, self._parts, self._unlock, account, caller, now=now)

    def find_sessions(self, account: Account, *, now: datetime) -> list[Session]:
        """Return the account's sessions, the newest first."""
        return self._parts.database.reading(sessions.find_sessions, account.subject, now=now)

    def end_sessions(
        self, account: Account, session_id: str | None, caller: Caller, *, now: datetime
    ) -> int:
        """End one session of the account, or all of them; return how many ended."""
        ended = transaction_of(
            self._actor, self._parts, self._end_sessions, account, session_id, caller, now=now
        )
        self._parts.marks.bump(ended)
        return len(ended)

    def _run(
        self,
        work: Callable[Concatenate[Connection, P], _Done | Refused],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Account | Refused:
        """Run a change, undone as a whole where it would break a rule over several rows."""
        if not self._parts.accounts.are_ours:
            return MANAGED_ELSEWHERE
        try:
            done = transaction_of(self._actor, self._parts, work, *args, **kwargs)
        except UndoneError as undone:
            return undone.refused
        if isinstance(done, Refused):
            return done
        self._parts.marks.bump(done.ended)
        return done.account

    def _change(
        self,
        tx: Connection,
        account: Account,
        address: EmailAddress | None,
        full_name: str | None,
        roles: Sequence[str] | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> _Done | Refused:
        new_roles = None if roles is None or set(roles) == set(account.roles) else set(roles)
        now_address = address if self._actor is None else None
        if new_roles is not None:
            installation.lock_admins(tx)
        begun = _Done(account, sessions.mark_changed(tx, account.subject))
        if now_address is not None or new_roles is not None:
            advanced = self._advance(tx, account, now=now)
            if isinstance(advanced, Refused):
                return advanced
            begun = advanced
            account = replace(account, generation=account.generation + 1)
        if new_roles is not None:
            accounts.update_roles(tx, account.host_id, roles=sorted(new_roles))
            if ADMIN not in new_roles:
                self._keep_admins(tx, account)
        if now_address is not None:
            self._set_email(tx, account, now_address, now=now)
        elif address is not None and self._actor is not None:
            self._stage_email(tx, account, address, self._actor, caller, now=now)
        if full_name is not None:
            accounts.update_profile(tx, account.host_id, full_name=full_name or None)
        given = {"email": now_address, "full_name": full_name, "roles": new_roles}
        changed = [name for name, value in given.items() if value is not None]
        if changed or address is None:
            self._record(
                tx,
                EventType.ACCOUNT_CHANGED,
                account.subject,
                caller,
                details={"changed": changed},
                now=now,
            )
        return begun

    def _set_email(
        self, tx: Connection, account: Account, address: EmailAddress, *, now: datetime
    ) -> None:
        if not accounts.update_email(
            tx, account.host_id, email=address.text, email_key=address.key, verified_at=now
        ):
            raise UndoneError(TAKEN)
        mailing.notify(tx, self._parts, account, Kind.EMAIL_CHANGED, now=now)

    def _stage_email(
        self,
        tx: Connection,
        account: Account,
        address: EmailAddress,
        user: User,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        if not subjects.lock(tx, account.subject, seen=account.generation):
            raise UndoneError(CHANGED)
        refused = self._staged_emails.stage(tx, account, address, user, caller, now=now)
        if refused is not None:
            raise UndoneError(refused)

    def _set_password(
        self,
        tx: Connection,
        account: Account,
        password: NewHash,
        expires_at: datetime | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> _Done | Refused:
        done = self._advance(tx, account, now=now)
        if isinstance(done, _Done):
            accounts.update_password(
                tx,
                account.host_id,
                password_hash=password.password_hash,
                scheme=password.scheme,
                expires_at=expires_at,
                now=now,
            )
            self._record(tx, EventType.PASSWORD_CHANGED, account.subject, caller, now=now)
            mailing.notify(tx, self._parts, account, Kind.PASSWORD_CHANGED, now=now)
        return done

    def _disable(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> _Done | Refused:
        if ADMIN in account.roles:
            installation.lock_admins(tx)
        done = self._advance(tx, account, now=now)
        if isinstance(done, _Done):
            accounts.update_disabled(tx, account.host_id, disabled_at=now)
            self._keep_admins(tx, account)
            self._record(tx, EventType.ACCOUNT_DISABLED, account.subject, caller, now=now)
        return done

    def _enable(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> _Done | Refused:
        done = self._advance(tx, account, now=now)
        if isinstance(done, _Done):
            accounts.update_disabled(tx, account.host_id, disabled_at=None)
            self._record(tx, EventType.ACCOUNT_ENABLED, account.subject, caller, now=now)
        return done

    def _delete(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> _Done | Refused:
        if ADMIN in account.roles:
            installation.lock_admins(tx)
        done = self._advance(tx, account, now=now)
        if isinstance(done, Refused):
            return done
        self._changes.remove_every_factor(tx, account)
        subjects.close(tx, account.subject, now=now)
        accounts.delete_account(tx, account.host_id)
        self._counting.forget(tx, account.subject, now=now)
        self._keep_admins(tx, account)
        self._record(tx, EventType.ACCOUNT_DELETED, account.subject, caller, now=now)
        return done

    def _unlock(self, tx: Connection, account: Account, caller: Caller, *, now: datetime) -> None:
        self._counting.unlock(tx, account.subject, now=now)
        self._record(tx, EventType.ACCOUNT_UNLOCKED, account.subject, caller, now=now)

    def _end_sessions(
        self,
        tx: Connection,
        account: Account,
        session_id: str | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> list[str]:
        if session_id is None:
            ended = sessions.end_sessions(tx, account.subject, now=now)
            type_ = EventType.SESSIONS_ENDED
        else:
            is_ended = sessions.end_session_of(tx, session_id, subject=account.subject, now=now)
            ended = [session_id] if is_ended else []
            type_ = EventType.SESSION_ENDED
        if ended:
            self._record(tx, type_, account.subject, caller, now=now)
        return ended

    def _keep_admins(self, tx: Connection, account: Account) -> None:
        """Undo what leaves no admin at all, or takes the acting admin's own account or role away.

        On the command line nobody acts by an account, and whoever stands there can come back in.
        """
        if ADMIN in account.roles and accounts.count_admins(tx) == 0:
            raise UndoneError(LAST_ADMIN)
        if self._actor is not None and self._actor.id == account.subject:
            raise UndoneError(OWN_ACCOUNT)

    def _advance(self, tx: Connection, account: Account, *, now: datetime) -> _Done | Refused:
        """Begin the account's next generation and end all that was begun under this one."""
        those = self._changes.sealed_authenticators(tx, account)
        generation = self._changes.raise_generation(
            tx, account, those, awaits_enrollment=account.awaits_enrollment
        )
        if generation is None:
            return CHANGED
        return _Done(account, self._changes.end_all(tx, account, now=now))

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        subject: SubjectId,
        caller: Caller,
        *,
        details: Mapping[str, str | int | Sequence[str]] | None = None,
        now: datetime,
    ) -> None:
        audit.record(tx, Event(type_, now, caller, subject=subject, details=details or {}))
