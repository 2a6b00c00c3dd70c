"""Everything that an operator wants to see of one account, read at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.accounts.directory import Account
from twinlock.accounts.email_changes import store as emails
from twinlock.accounts.email_changes.store import StagedEmail
from twinlock.accounts.resets import store as resets
from twinlock.accounts.resets.store import StagedReset
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.proof import SubjectId
from twinlock.devices import store as devices
from twinlock.devices.store import Device
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticator
from twinlock.flows.changes import Changes
from twinlock.flows.counting import second_factor_key
from twinlock.flows.demands import demands_of
from twinlock.flows.parts import Parts
from twinlock.flows.staging import is_alive
from twinlock.policies.policy import Demands
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session
from twinlock.throttle import policy as throttle_policy
from twinlock.throttle.search import store as throttle

_EVENTS: Final = 8
_SUSPICIOUS: Final = 10
"""Wrong second factors in a row that nobody who lost a phone would go on with."""


@dataclass(frozen=True, slots=True)
class Overview:
    """One account, with what hangs on it.

    Attributes:
        factors: Its authenticators, whatever the seal says of them.
        is_seal_broken: Whether they are not those that the seal was made over.
        reset: The reset of its factors that waits, if it lives.
        new_email: The other e-mail address that waits, if it lives.
        demands: What policies demand of it.
        events: The newest of its history.
        signed_in: The event of the last sign-in; None for never, or longer ago than events
            are kept.
        wrong_in_a_row: Wrong answers to its second factor since the last right one.
        denied: The event of the last denied login.
        throttled: The event of the last hour in which tries were not even looked at.
    """

    account: Account
    factors: Sequence[Authenticator]
    is_seal_broken: bool
    recovery_codes_left: int
    sessions: Sequence[Session]
    devices: Sequence[Device]
    reset: StagedReset | None
    new_email: StagedEmail | None
    demands: Demands
    wrong_in_a_row: int
    events: Sequence[Row[Any]]
    signed_in: Row[Any] | None
    denied: Row[Any] | None
    throttled: Row[Any] | None

    @property
    def are_codes_stopped(self) -> bool:
        """Whether its app codes and mailed codes count no more, until it is unlocked."""
        return self.wrong_in_a_row >= throttle_policy.SHORT_CODE_STOP

    @property
    def may_password_be_known(self) -> bool:
        """Whether somebody went on guessing the second factor, which takes the password."""
        return self.wrong_in_a_row >= _SUSPICIOUS


def read_overview(parts: Parts, changes: Changes, login: str, *, now: datetime) -> Overview | None:
    """Return all about the account of a user name or a verified e-mail address."""
    return parts.database.reading(_of_login, parts, changes, login, now=now)


def read_overview_of(
    parts: Parts, changes: Changes, subject: SubjectId, *, now: datetime
) -> Overview | None:
    """Return all about the open account of a subject."""
    return parts.database.reading(_of_subject, parts, changes, subject, now=now)


def _of_login(
    db: Connection, parts: Parts, changes: Changes, login: str, *, now: datetime
) -> Overview | None:
    account = parts.accounts.find(db, login)
    return None if account is None else _read(db, parts, changes, account, now=now)


def _of_subject(
    db: Connection, parts: Parts, changes: Changes, subject: SubjectId, *, now: datetime
) -> Overview | None:
    account = parts.accounts.get(db, subject)
    return None if account is None else _read(db, parts, changes, account, now=now)


def _read(
    db: Connection, parts: Parts, changes: Changes, account: Account, *, now: datetime
) -> Overview:
    subject = account.subject
    staged = resets.get_reset(db, parts.keyring, subject)
    waits = emails.get_staged(db, subject)
    tries = second_factor_key(parts, subject)
    return Overview(
        account=account,
        factors=authenticators.list_authenticators(db, subject),
        is_seal_broken=changes.sealed_authenticators(db, account) is None,
        recovery_codes_left=parts.recovery_codes.count_left(db, subject),
        sessions=sessions.find_sessions(db, subject, now=now),
        devices=devices.find_devices(db, subject, generation=account.generation, now=now),
        reset=staged if staged is not None and is_alive(staged, account, now=now) else None,
        new_email=waits if waits is not None and is_alive(waits, account, now=now) else None,
        demands=demands_of(db, parts, account, now=now),
        wrong_in_a_row=throttle.find_in_a_row(db, [tries], least=1).get(tries, 0),
        events=audit.list_events(db, limit=_EVENTS, subject=subject),
        signed_in=_last(db, subject, EventType.LOGIN_SUCCEEDED),
        denied=_last(db, subject, EventType.LOGIN_DENIED),
        throttled=_last(db, subject, EventType.LOGIN_THROTTLED),
    )


def _last(db: Connection, subject: SubjectId, type_: EventType) -> Row[Any] | None:
    found = audit.list_events(db, limit=1, subject=subject, type_=type_)
    return found[0] if found else None
