"""A signed-in account's own sessions and security history."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.core.proof import Acr
from twinlock.core.secrets import is_id
from twinlock.flows.outcomes import Refused, StepUpRequired
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session

NOT_FOUND = Refused("not_found", "There is no such session.")


class OwnSessions:
    """Lists and ends the sessions of one account."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def find_sessions(self, user: User, *, now: datetime) -> list[Session]:
        """Return the account's sessions, the newest first."""
        return self._parts.database.reading(sessions.find_sessions, user.id, now=now)

    def sign_out(self, user: User, caller: Caller, *, now: datetime) -> None:
        """End the session that asks for it."""
        self._parts.database.transaction(self._end, user, user.session_id, caller, now=now)
        self._parts.marks.bump([user.session_id])

    def end_session(
        self, user: User, session_id: str, caller: Caller, *, now: datetime
    ) -> StepUpRequired | Refused | None:
        """End one of the account's sessions, with any factor shown lately (ASVS 5.0 7.5.2)."""
        if not is_id(session_id):
            return NOT_FOUND
        if session_id != user.session_id and (stale := self._stale(user, now=now)):
            return stale
        if not self._parts.database.transaction(self._end, user, session_id, caller, now=now):
            return NOT_FOUND
        self._parts.marks.bump([session_id])
        return None

    def end_other_sessions(
        self, user: User, caller: Caller, *, now: datetime
    ) -> StepUpRequired | int:
        """End every session but the one that asks for it; return how many ended."""
        if stale := self._stale(user, now=now):
            return stale
        ended = self._parts.database.transaction(self._end_others, user, caller, now=now)
        self._parts.marks.bump(ended)
        return len(ended)

    def list_events(self, user: User, *, before: str, limit: int) -> Sequence[Row[Any]]:
        """Return the account's security history, the newest first."""
        return self._parts.database.reading(
            audit.list_events, subject=user.id, before=before, limit=limit
        )

    def _stale(self, user: User, *, now: datetime) -> StepUpRequired | None:
        fresh = self._parts.lifetimes.fresh
        return None if user.is_fresh(fresh, now=now) else StepUpRequired(Acr.AAL1, fresh)

    def _end(
        self, tx: Connection, user: User, session_id: str, caller: Caller, *, now: datetime
    ) -> bool:
        if not sessions.end_session_of(tx, session_id, subject=user.id, now=now):
            return False
        self._record(tx, EventType.SESSION_ENDED, user, session_id, caller, now=now)
        return True

    def _end_others(
        self, tx: Connection, user: User, caller: Caller, *, now: datetime
    ) -> list[str]:
        ended = sessions.end_other_sessions(tx, user.id, kept=user.session_id, now=now)
        self._record(tx, EventType.SESSIONS_ENDED, user, user.session_id, caller, now=now)
        return ended

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        user: User,
        session_id: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        audit.record(tx, Event(type_, now, caller, subject=user.id, session_id=session_id))
