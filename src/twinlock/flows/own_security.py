"""What protects an account, read at one moment: for the page that shows all of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.audit import store as audit
from twinlock.core.principal import User
from twinlock.core.proof import NoSecondFactor
from twinlock.factors.authenticators.store import Authenticator, Authenticators
from twinlock.flows.outcomes import Denied
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session

_EVENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Security:
    """An account's locks, its address, its sessions, and the newest of its history."""

    authenticators: Sequence[Authenticator]
    recovery_codes_left: int
    email: str | None
    is_email_verified: bool
    sessions: Sequence[Session]
    events: Sequence[Row[Any]]


class OwnSecurity:
    """Reads what an account's owner wants to see at a glance."""

    def __init__(self, parts: Parts, verifying: Verifying) -> None:
        self._parts = parts
        self._verifying = verifying

    def look(self, user: User, *, now: datetime) -> Security | Denied:
        """Return the account's locks, sessions and newest events."""
        return self._parts.database.reading(self._look, user, now=now)

    def _look(self, db: Connection, user: User, *, now: datetime) -> Security | Denied:
        account = self._parts.accounts.get(db, user.id)
        match self._verifying.factors_of(db, account):
            case Authenticators(all=those):
                found: Sequence[Authenticator] = those
                left = self._parts.recovery_codes.count_left(db, user.id)
            case NoSecondFactor():
                found, left = (), 0
            case _:
                return Denied()
        events = audit.list_events(db, subject=user.id, before=audit.NEWEST, limit=_EVENTS)
        return Security(
            authenticators=found,
            recovery_codes_left=left,
            email=account.email if account else None,
            is_email_verified=account is not None and account.is_email_verified,
            sessions=sessions.find_sessions(db, user.id, now=now),
            events=events,
        )
