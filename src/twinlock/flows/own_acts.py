"""What people do inside their own sessions, written down."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Reason


def record_own(
    tx: Connection,
    type_: EventType,
    user: User,
    caller: Caller,
    *,
    method: str | None = None,
    reason: Reason | None = None,
    details: Mapping[str, str | int | Sequence[str]] | None = None,
    now: datetime,
) -> None:
    """Record what a user did to the own account, with the session that it was done in."""
    audit.record(
        tx,
        Event(
            type_,
            now,
            caller,
            subject=user.id,
            session_id=user.session_id,
            method=method,
            reason=reason,
            details=details or {},
        ),
    )
