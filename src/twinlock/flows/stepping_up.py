"""The end of a reauthentication: the session has what was proven, and the client is told."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller, EventType
from twinlock.core.principal import User
from twinlock.core.proof import (
    AuthenticationContext,
    Continued,
    Reason,
    Rejected,
    Verified,
    context_of,
)
from twinlock.core.secrets import digest, new_secret
from twinlock.flows.opening import Opening
from twinlock.flows.outcomes import IssuedTokens, SignedIn
from twinlock.flows.own_acts import record_own
from twinlock.flows.parts import Parts
from twinlock.pending import store as pending_store
from twinlock.pending.store import Pending
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session


@dataclass(frozen=True, slots=True, repr=False)
class CookieChange:
    """The cookie that a session came with, and the one it has after the step-up."""

    old: str
    new: str

    @classmethod
    def of(cls, cookie: str | None) -> "CookieChange | None":
        """Draw the next cookie; None for a session that lives by tokens."""
        return None if cookie is None else cls(cookie, new_secret())


@dataclass(frozen=True, slots=True)
class SteppedUp:
    """A session with what it proves now; with another cookie, if it came with one."""

    session: Session
    account: Account
    context: AuthenticationContext
    cookie: CookieChange | None


class SteppingUp:
    """Gives what was just proven to one access token, or to one cookie session."""

    def __init__(self, parts: Parts, opening: Opening) -> None:
        self._parts = parts
        self._opening = opening

    def step_up(
        self,
        tx: Connection,
        user: User,
        begun: Pending,
        verified: Verified,
        caller: Caller,
        cookie: CookieChange | None,
        *,
        now: datetime,
    ) -> SteppedUp | Rejected:
        """Spend the reauthentication, and move a cookie session to its new proof and cookie."""
        session = sessions.get_session(tx, self._parts.keyring, user.session_id)
        account = self._parts.accounts.get(tx, user.id)
        if (
            session is None
            or account is None
            or not session.is_alive(generation=account.generation, now=now)
            or not pending_store.spend(tx, begun, now=now)
        ):
            return Rejected(Reason.SPENT)
        context = context_of(Continued(user.context, verified))
        if cookie is not None and not self._change_cookie(tx, session, context, cookie):
            return Rejected(Reason.SPENT)
        record_own(
            tx,
            EventType.REAUTHENTICATION_SUCCEEDED,
            user,
            caller,
            method=verified.method,
            details={"acr": context.acr},
            now=now,
        )
        return SteppedUp(session, account, context, cookie)

    def tell(self, user: User, done: SteppedUp, *, now: datetime) -> SignedIn:
        """Return what the client gets, now that the transaction is committed."""
        if done.cookie is not None:
            self._parts.marks.bump([done.session.id])
            return SignedIn(self._opening.cookie(done.cookie.new), done.context)
        scope = tuple(sorted(user.scope))
        access_token = self._opening.access_token(
            done.session, done.account, done.context, scope=scope, now=now
        )
        tokens = IssuedTokens(access_token, self._parts.lifetimes.access_token, None, scope)
        return SignedIn(tokens, done.context)

    def _change_cookie(
        self,
        tx: Connection,
        session: Session,
        context: AuthenticationContext,
        cookie: CookieChange,
    ) -> bool:
        stepped_up = replace(
            session,
            acr=context.acr,
            amr=context.amr,
            auth_time=context.auth_time,
            cookie_digest=digest(cookie.new),
        )
        old = digest(cookie.old)
        return sessions.step_up(tx, self._parts.keyring, stepped_up, old_cookie=old)
