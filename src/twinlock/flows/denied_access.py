"""Writing down that somebody who is signed in asked for what is not theirs (ASVS 5.0 16.3.2)."""

from datetime import datetime

from sqlalchemy import Connection

from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Reason
from twinlock.flows.parts import Parts


def record_denied_access(
    parts: Parts, user: User, route: str, reason: Reason, caller: Caller, *, now: datetime
) -> None:
    """Keep the denials of one account, route, reason and hour as one row that counts them.

    Args:
        parts: The installation.
        user: Who asked.
        route: Method and template of the route; there are as many as routes are declared.
        reason: What was missing.
        caller: Where the request came from.
        now: The moment of the request.
    """
    parts.database.transaction(_record, parts, user, route, reason, caller, now=now)


def _record(
    tx: Connection,
    parts: Parts,
    user: User,
    route: str,
    reason: Reason,
    caller: Caller,
    *,
    now: datetime,
) -> None:
    hour = now.replace(minute=0, second=0, microsecond=0).isoformat()
    audit.record(
        tx,
        Event(
            EventType.ACCESS_DENIED,
            now,
            caller,
            subject=user.id,
            session_id=user.session_id,
            reason=reason,
            details={"route": route},
            repeat_key=parts.digest_key.digest("event/access", user.id, route, reason, hour),
        ),
    )
