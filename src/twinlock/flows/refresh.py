"""Refreshing and revoking: the life of a bearer session after its sign-in."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import AuthenticationContext, Reason, SubjectId
from twinlock.flows.demands import is_enough
from twinlock.flows.opening import Opening
from twinlock.flows.outcomes import Denied, IssuedTokens, Refused
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session
from twinlock.tokens import refresh_token
from twinlock.tokens.refresh_token import Presented, Repeat, Reused, Rotate

INVALID_SCOPE = Refused("invalid_scope", "The scope asked for exceeds what was granted.")


@dataclass(frozen=True, slots=True)
class _Refreshed:
    session: Session
    account: Account
    counter: int


@dataclass(frozen=True, slots=True)
class _Ended:
    session_id: str


class Refresh:
    """Rotates refresh tokens and ends sessions by their tokens."""

    def __init__(self, parts: Parts, opening: Opening) -> None:
        self._parts = parts
        self._opening = opening

    def refresh(
        self, token: str, scope: tuple[str, ...] | None, caller: Caller, *, now: datetime
    ) -> IssuedTokens | Denied | Refused:
        """Spend a refresh token for an access token and the next refresh token.

        A token that was spent before ends the whole session (RFC 9700 section 4.14.2), but
        for ten seconds after its use it gives the same child again, to a client whose reply
        was lost. The proof is the sign-in's: refreshing never raises ``acr``.
        """
        presented = refresh_token.parse(self._parts.keyring, token)
        if presented is None:
            return Denied()
        done = self._parts.database.transaction(self._refresh, presented, scope, caller, now=now)
        match done:
            case _Ended(session_id):
                self._parts.marks.bump([session_id])
                return Denied()
            case _Refreshed(session, account, counter):
                context = AuthenticationContext(
                    account.subject, session.acr, session.amr, session.auth_time
                )
                return IssuedTokens(
                    access_token=self._opening.access_token(
                        session, account, context, scope=scope, now=now
                    ),
                    expires_in=self._parts.lifetimes.access_token,
                    refresh_token=refresh_token.mint(self._parts.keyring, session.id, counter),
                    scope=session.scope if scope is None else scope,
                )
            case _:
                return done

    def revoke(self, token: str, session_id: str | None, caller: Caller, *, now: datetime) -> None:
        """End the session of a refresh token, or of an access token's *session_id* (RFC 7009)."""
        presented = refresh_token.parse(self._parts.keyring, token)
        ending = presented.session_id if presented else session_id
        if ending is None:
            return
        if self._parts.database.transaction(self._revoke, ending, caller, now=now):
            self._parts.marks.bump([ending])

    def access_token_of(self, session_id: str, *, now: datetime) -> IssuedTokens | Denied:
        """Return an access token of a bearer's session, which goes on as it was.

        For whoever has something that only the session's owner can have, as ``contrib`` does.
        """
        done = self._parts.database.transaction(self._find_alive, session_id, now=now)
        if isinstance(done, Denied):
            return done
        session, account = done.session, done.account
        context = AuthenticationContext(
            account.subject, session.acr, session.amr, session.auth_time
        )
        return IssuedTokens(
            access_token=self._opening.access_token(session, account, context, now=now),
            expires_in=self._parts.lifetimes.access_token,
            refresh_token=None,
            scope=session.scope,
        )

    def _find_alive(self, tx: Connection, session_id: str, *, now: datetime) -> _Refreshed | Denied:
        session = sessions.get_session(tx, self._parts.keyring, session_id)
        if session is None or session.has_cookie:
            return Denied()
        account = self._parts.accounts.get_fresh(tx, session.subject)
        if (
            account is None
            or account.is_disabled
            or not session.is_alive(generation=account.generation, now=now)
        ):
            return Denied()
        return _Refreshed(session, account, session.refresh_counter)

    def _refresh(
        self,
        tx: Connection,
        presented: Presented,
        scope: tuple[str, ...] | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> _Refreshed | _Ended | Denied | Refused:
        session = sessions.get_session(tx, self._parts.keyring, presented.session_id)
        if session is None or session.has_cookie:
            return Denied()
        account = self._parts.accounts.get_fresh(tx, session.subject)
        if (
            account is None
            or account.is_disabled
            or not session.is_alive(generation=account.generation, now=now)
            or not is_enough(tx, self._parts, account, session.acr, now=now)
        ):
            return Denied()
        judged = self._judge(presented, session, now=now)
        is_wider = scope is not None and not set(scope) <= set(session.scope)
        if is_wider and not isinstance(judged, Reused):
            return INVALID_SCOPE
        if isinstance(judged, Rotate):
            idle_until = now + self._parts.lifetimes.refresh_idle
            if sessions.rotate_refresh(
                tx,
                self._parts.keyring,
                session,
                presented=presented.counter,
                idle_until=idle_until,
                now=now,
            ):
                return _Refreshed(session, account, presented.counter + 1)
            # Somebody was first, just now: look again at what that made of it.
            found = sessions.get_session(tx, self._parts.keyring, presented.session_id)
            if found is None or not found.is_alive(generation=account.generation, now=now):
                return Denied()
            session, judged = found, self._judge(presented, found, now=now)
        if isinstance(judged, Repeat):
            return _Refreshed(session, account, session.refresh_counter)
        sessions.end_session(tx, session.id, now=now)
        self._record(tx, EventType.REFRESH_REUSED, session.subject, session.id, caller, now=now)
        return _Ended(session.id)

    def _judge(
        self, presented: Presented, session: Session, *, now: datetime
    ) -> Rotate | Repeat | Reused:
        return refresh_token.judge(
            presented.counter,
            current_counter=session.refresh_counter,
            rotated_at=session.rotated_at,
            now=now,
            grace=self._parts.lifetimes.refresh_grace,
        )

    def _revoke(self, tx: Connection, session_id: str, caller: Caller, *, now: datetime) -> bool:
        session = sessions.get_session(tx, self._parts.keyring, session_id)
        if session is None or not sessions.end_session(tx, session_id, now=now):
            return False
        self._record(tx, EventType.SESSION_ENDED, session.subject, session_id, caller, now=now)
        return True

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        subject: SubjectId,
        session_id: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        reason = Reason.SPENT if type_ is EventType.REFRESH_REUSED else None
        audit.record(
            tx,
            Event(type_, now, caller, subject=subject, session_id=session_id, reason=reason),
        )
