"""Making accounts, in the transaction of whoever makes them: one of ours, or one from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.entries import store as entries
from twinlock.accounts.names import (
    EmailAddress,
    EmailProblem,
    Username,
    UsernameProblem,
    check_email,
    check_username,
)
from twinlock.accounts.password_check import NewHash
from twinlock.accounts.roles import MAX_ROLES, role_problem
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import ADMIN
from twinlock.core.proof import Rejected, SubjectId
from twinlock.core.secrets import new_id
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import Factor
from twinlock.flows.changes import Changes
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.installation import store as installation

TAKEN: Final = Refused("taken", "Another account has this user name or e-mail address.")
MANAGED_ELSEWHERE: Final = Refused(
    "managed_elsewhere",
    "The users of this installation are an application's own: make and change them there.",
)
NOT_FOUND: Final = Refused("not_found", "There is no such account.")
NOT_IMPORTABLE: Final = Refused("not_importable", "The authenticator's URI cannot be used.")


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made.

    Attributes:
        password: Its hash; None for an account that cannot sign in with a password.
        password_expires_at: Given for a first password, which dies then and must be changed.
        is_email_verified: Whether the operator vouches for the address, so that it signs in.
    """

    username: str
    email: str | None = None
    full_name: str | None = None
    roles: tuple[str, ...] = ()
    password: NewHash | None = None
    password_expires_at: datetime | None = None
    is_email_verified: bool = True
    is_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """An authenticator that comes along with an account from elsewhere, as its URI."""

    factor: Factor
    uri: str = field(repr=False)
    label: str


@dataclass(frozen=True, slots=True)
class _Checked:
    """A new account whose names can be."""

    new: NewAccount
    username: Username
    email: EmailAddress | None


class UndoneError(Exception):
    """Takes back everything that the transaction did so far."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


def check_roles(roles: Sequence[str]) -> Refused | None:
    """Return why these are no roles, or None."""
    problem = next(filter(None, map(role_problem, roles)), None)
    if problem is None and len(set(roles)) > MAX_ROLES:
        problem = f"An account has at most {MAX_ROLES} roles: its tokens name each of them."
    return Refused("role_invalid", problem) if problem else None


def _check(new: NewAccount) -> _Checked | Refused:
    """Check the names and roles of an account to be made."""
    refused = check_roles(new.roles)
    if refused is not None:
        return refused
    username = check_username(new.username)
    if isinstance(username, UsernameProblem):
        return Refused(username.value, username.sentence)
    if new.email is None:
        return _Checked(new, username, None)
    email = check_email(new.email)
    if isinstance(email, EmailProblem):
        return Refused(email.value, email.sentence)
    return _Checked(new, username, email)


def make_account(
    tx: Connection,
    parts: Parts,
    new: NewAccount,
    caller: Caller,
    *,
    type_: EventType = EventType.ACCOUNT_CREATED,
    now: datetime,
) -> Account | Refused:
    """Make an account with its subject and its event; beside a host's users nobody could use it."""
    checked = _check(new)
    if isinstance(checked, Refused):
        return checked
    if not parts.accounts.are_ours or entries.has_entries(tx):
        return MANAGED_ELSEWHERE
    if ADMIN in new.roles:
        installation.lock_admins(tx)
    account_id = new_id()
    if not _insert(tx, account_id, checked, now=now):
        return TAKEN
    subject = SubjectId(new_id())
    seal = authenticators.make_seal(parts.keyring, account=subject, generation=0, authenticators=())
    subjects.add(tx, subject_id=subject, host_id=account_id, seal=seal, now=now)
    details = {"roles": list(new.roles)}
    audit.record(tx, Event(type_, now, caller, subject=subject, details=details))
    return parts.accounts.get(tx, subject) or NOT_FOUND


def _insert(tx: Connection, account_id: str, checked: _Checked, *, now: datetime) -> bool:
    """Write the account's row; False where its name or address is another's."""
    new, email = checked.new, checked.email
    is_verified = email is not None and new.is_email_verified
    return accounts.insert_account(
        tx,
        account_id=account_id,
        username=checked.username.text,
        username_key=checked.username.key,
        email=email.text if email else None,
        email_key=email.key if email else None,
        email_verified_at=now if is_verified else None,
        full_name=new.full_name,
        roles=new.roles,
        password_hash=new.password.password_hash if new.password else None,
        password_scheme=new.password.scheme if new.password else None,
        password_expires_at=new.password_expires_at,
        disabled_at=now if new.is_disabled else None,
        now=now,
    )


def import_account(
    tx: Connection,
    parts: Parts,
    changes: Changes,
    new: NewAccount,
    imported: Sequence[Imported],
    caller: Caller,
    *,
    now: datetime,
) -> Account | Refused:
    """Write an account from elsewhere with its authenticators.

    Raises:
        UndoneError: One of them cannot be used.
    """
    account = make_account(tx, parts, new, caller, type_=EventType.ACCOUNT_IMPORTED, now=now)
    if isinstance(account, Refused) or not imported:
        return account
    added = [_import_authenticator(tx, account, one, now=now) for one in imported]
    changes.raise_generation(tx, account, added)
    return parts.accounts.get(tx, account.subject) or NOT_FOUND


def _import_authenticator(
    tx: Connection, account: Account, one: Imported, *, now: datetime
) -> Authenticator:
    authenticator_id = new_id()
    digits = one.factor.import_authenticator(
        tx, account.subject, authenticator_id, one.uri, now=now
    )
    if isinstance(digits, Rejected):
        raise UndoneError(NOT_IMPORTABLE)
    added = Authenticator(
        id=authenticator_id,
        method=one.factor.method,
        label=one.label,
        code_digits=digits,
        created_at=now,
        last_used_at=None,
    )
    authenticators.insert_authenticator(tx, account.subject, added)
    return added
