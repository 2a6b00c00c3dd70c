"""What an account may see and change of itself: profile and password."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import NewHash, RightPassword
from twinlock.accounts.password_policy import PasswordProblem
from twinlock.audit.events import Caller, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Continued, Reason, Rejected, SubjectId
from twinlock.flows import mailing
from twinlock.flows.changes import Allowed, Changes, Replaced
from twinlock.flows.counting import Counting
from twinlock.flows.demands import demands_of
from twinlock.flows.opening import Transport
from twinlock.flows.outcomes import Denied, Refused, SignedIn, StepUpRequired, Throttled
from twinlock.flows.own_acts import record_own
from twinlock.flows.parts import Parts
from twinlock.flows.policing import Named, PasswordPolicy
from twinlock.mail.letters import Kind
from twinlock.sessions import store as sessions
from twinlock.throttle.store import Try

WRONG_PASSWORD = Refused("wrong_password", "The current password is not right.")
NOT_OURS = Refused("managed_elsewhere", "This account is managed by the application itself.")
NO_PASSWORD = Refused("no_password", "This account has no password to change.")


class Unchanged(Enum):
    """What is left as it is."""

    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChange:
    """What is to be changed of a profile.

    Attributes:
        language: Of pages and mails; None is the browser's, or the installation's.
    """

    full_name: str | Unchanged | None = Unchanged.UNCHANGED
    language: str | Unchanged | None = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class ChangeCounted:
    """A change of password whose try at the current one is counted; it is to be hashed now."""

    account: Account
    tries: tuple[Try, ...]


class AccountManagement:
    """Changes an account on behalf of its owner."""

    def __init__(
        self, parts: Parts, counting: Counting, changes: Changes, policy: PasswordPolicy
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._changes = changes
        self._policy = policy

    def get_account(self, user: User) -> Account | None:
        """Return the account as it is now."""
        return self._parts.database.reading(self._parts.accounts.get, user.id)

    def change_profile(
        self, user: User, change: ProfileChange, caller: Caller, *, now: datetime
    ) -> Account | Refused | Denied:
        """Set the full name, the language, or both."""
        if not self._parts.accounts.are_ours:
            return NOT_OURS
        done = self._parts.database.transaction(self._change_profile, user, change, caller, now=now)
        if isinstance(done, Denied):
            return done
        account, marked = done
        self._parts.marks.bump(marked)
        return account

    def learn_language(self, subject: SubjectId, language: str) -> None:
        """Take the language of a sign-in for the account's, while there is none."""
        account = self._parts.database.reading(self._parts.accounts.get, subject)
        if account is None or account.language is not None or not self._parts.accounts.are_ours:
            return
        self._parts.database.transaction(accounts.learn_language, account.host_id, language)

    def begin_password_change(
        self, user: User, new_password: str, caller: Caller, *, now: datetime
    ) -> ChangeCounted | StepUpRequired | Refused | Throttled | Denied:
        """Check that the change may be made, and count the try at the current password."""
        if not self._parts.accounts.are_ours:
            return NOT_OURS
        return self._parts.database.transaction_once(
            self._begin_password_change, user, new_password, caller, now=now
        )

    def finish_password_change(
        self,
        user: User,
        counted: ChangeCounted,
        outcome: RightPassword | Rejected,
        new_hash: NewHash | None,
        caller: Caller,
        *,
        transport: Transport,
        now: datetime,
    ) -> SignedIn | StepUpRequired | Refused | Denied:
        """Set the new password; every session ends and this one is replaced.

        Args:
            new_hash: Of the new password; None when the current one was wrong.
        """
        done = self._parts.database.transaction(
            self._finish_password_change,
            user,
            counted,
            outcome,
            new_hash,
            caller,
            transport,
            now=now,
        )
        if isinstance(done, Replaced):
            return self._changes.tell(done, now=now)
        return done

    def _change_profile(
        self,
        tx: Connection,
        user: User,
        change: ProfileChange,
        caller: Caller,
        *,
        now: datetime,
    ) -> tuple[Account, list[str]] | Denied:
        account = self._parts.accounts.get(tx, user.id)
        if account is None:
            return Denied()
        if not isinstance(change.full_name, Unchanged):
            accounts.update_profile(tx, account.host_id, full_name=change.full_name)
            account = replace(account, full_name=change.full_name)
        if not isinstance(change.language, Unchanged):
            accounts.set_language(tx, account.host_id, change.language)
            account = replace(account, language=change.language)
        marked = sessions.mark_changed(tx, user.id)
        record_own(tx, EventType.ACCOUNT_CHANGED, user, caller, now=now)
        return account, marked

    def _begin_password_change(
        self,
        tx: Connection,
        user: User,
        new_password: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> ChangeCounted | StepUpRequired | Refused | Throttled | Denied:
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        account = allowed.account
        if account.password_hash is None:
            return NO_PASSWORD
        named = Named(account.username, account.email, account.full_name)
        demands = demands_of(tx, self._parts, account, now=now)
        problem = self._policy.check(new_password, named, has_second_factor=demands.second_factor)
        if isinstance(problem, PasswordProblem):
            return Refused(problem.value, problem.sentence)
        tries = self._counting.take_password_tries_in_session(tx, user, caller, now=now)
        if isinstance(tries, Throttled):
            return tries
        return ChangeCounted(account, tries)

    def _finish_password_change(
        self,
        tx: Connection,
        user: User,
        counted: ChangeCounted,
        outcome: RightPassword | Rejected,
        new_hash: NewHash | None,
        caller: Caller,
        transport: Transport,
        *,
        now: datetime,
    ) -> Replaced | StepUpRequired | Refused | Denied:
        if isinstance(outcome, Rejected) or new_hash is None:
            record_own(
                tx,
                EventType.PASSWORD_CHANGE_DENIED,
                user,
                caller,
                reason=Reason.WRONG_PASSWORD,
                now=now,
            )
            return WRONG_PASSWORD
        allowed = self._changes.allow(tx, user, now=now)
        if not isinstance(allowed, Allowed):
            return allowed
        if allowed.account.generation != counted.account.generation:
            return Denied()
        replaced = self._changes.replace_session(
            tx,
            allowed.account,
            allowed.authenticators,
            Continued(user.context),
            user,
            caller,
            transport,
            now=now,
        )
        if isinstance(replaced, Denied):
            return replaced
        self._counting.give_back(tx, counted.tries)
        accounts.update_password(
            tx,
            allowed.account.host_id,
            password_hash=new_hash.password_hash,
            scheme=new_hash.scheme,
            expires_at=None,
            now=now,
        )
        record_own(tx, EventType.PASSWORD_CHANGED, user, caller, now=now)
        mailing.notify(tx, self._parts, allowed.account, Kind.PASSWORD_CHANGED, now=now)
        return replaced
