"""Everything that an operator wants to see of one account, read at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.core.proof import SubjectId
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticator
from twinlock.flows.changes import Changes
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions


@dataclass(frozen=True, slots=True)
class Overview:
    """One account, with what hangs on it.

    Attributes:
        factors: Its authenticators, whatever the seal says of them.
        is_seal_broken: Whether they are not those that the seal was made over.
        signed_in: The event of the last sign-in; None for never, or longer ago than events
            are kept.
        denied: The event of the last denied login.
        throttled: The event of the last hour in which tries were not even looked at.
    """

    account: Account
    factors: Sequence[Authenticator]
    is_seal_broken: bool
    recovery_codes_left: int
    sessions: int
    signed_in: Row[Any] | None
    denied: Row[Any] | None
    throttled: Row[Any] | None


def read_overview(parts: Parts, changes: Changes, login: str, *, now: datetime) -> Overview | None:
    """Return all about the account of a user name or a verified e-mail address."""
    return parts.database.reading(_read, parts, changes, login, now=now)


def _read(
    db: Connection, parts: Parts, changes: Changes, login: str, *, now: datetime
) -> Overview | None:
    account = parts.accounts.find(db, login)
    if account is None:
        return None
    return Overview(
        account=account,
        factors=authenticators.list_authenticators(db, account.subject),
        is_seal_broken=changes.sealed_authenticators(db, account) is None,
        recovery_codes_left=parts.recovery_codes.count_left(db, account.subject),
        sessions=len(sessions.find_sessions(db, account.subject, now=now)),
        signed_in=_last(db, account.subject, EventType.LOGIN_SUCCEEDED),
        denied=_last(db, account.subject, EventType.LOGIN_DENIED),
        throttled=_last(db, account.subject, EventType.LOGIN_THROTTLED),
    )


def _last(db: Connection, subject: SubjectId, type_: EventType) -> Row[Any] | None:
    found = audit.list_events(db, limit=1, subject=subject, type_=type_)
    return found[0] if found else None
