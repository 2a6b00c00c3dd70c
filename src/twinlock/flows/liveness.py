"""Whether what a token says still holds: the database's word, at first sight and each second."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.core.principal import User
from twinlock.core.proof import Acr, AuthenticationContext
from twinlock.core.secrets import digest
from twinlock.db.inline import WouldWaitError
from twinlock.db.rows import Rows
from twinlock.flows.demands import has_second_factor, is_enough
from twinlock.flows.parts import Parts
from twinlock.policies.policy import demands_on
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session
from twinlock.tokens.access_token import AccessClaims

_SEEN_AT_MOST_EVERY_SECONDS = 60


class _Over(Enum):
    FOR_GOOD = "over"


OVER: Final = _Over.FOR_GOOD
"""In the place of a user: the session was ended, or timed out, and never comes back."""
Over: TypeAlias = Literal[_Over.FOR_GOOD]


class Liveness:
    """Turns verified claims, or a session cookie, into a user that exists right now."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def user_of_token(self, claims: AccessClaims, *, now: datetime) -> User | Over | None:
        """Return the user of an access token whose signature and claims were checked.

        None says that it opens nothing now: an account can be enabled again.

        From the token come ``acr``, ``amr``, ``auth_time`` and ``scope``; everything else is
        read, and the session must be alive and the account's.
        """
        database = self._parts.database
        user: User | Over | None
        if self._parts.accounts.are_ours:
            user = self._read_claims(database.reading, claims, now=now)
        else:
            user = database.reading(self._user_of_claims, claims, now=now)
        database.prepare_inline()
        return user

    def user_of_token_at_once(self, claims: AccessClaims, *, now: datetime) -> User | Over | None:
        """Return the same on the event loop, if nothing has to be waited for.

        Raises:
            WouldWaitError: A thread has to look: always on PostgreSQL, and for a host's accounts,
                whose directory may have to be asked.
        """
        if not self._parts.accounts.are_ours:
            raise WouldWaitError
        return self._read_claims(self._parts.database.reading_inline, claims, now=now)

    def user_of_cookie(
        self, secret: str, *, is_active: bool, now: datetime
    ) -> tuple[User, Session] | None:
        """Return the user of a session cookie, and note at most once a minute that it was seen.

        Args:
            is_active: Whether it is seen at all, or only looked at.
        """
        found = self._parts.database.reading(self._user_of_cookie, digest(secret), now=now)
        if found is None:
            return None
        user, session = found
        seen_before = (now - session.last_seen_at).total_seconds()
        if is_active and seen_before >= _SEEN_AT_MOST_EVERY_SECONDS:
            idle_until = now + self._parts.lifetimes.page_idle
            self._parts.database.transaction(
                sessions.see_session, session.id, idle_until=idle_until, now=now
            )
        return user, session

    def user_of_session(self, session_id: str, *, now: datetime) -> User | None:
        """Return the user of a bearer's session, as its sign-in proved it.

        For whoever has something that only the session's owner can have, as ``contrib`` does.
        """
        user = self._parts.database.reading(self._user_of_bearer, session_id, now=now)
        return None if user is OVER else user

    def session_id_of_cookie(self, cookie_digest: bytes) -> str | None:
        """Return the session that a cookie belongs to, so that its mark is read first."""
        found = self._parts.database.reading(
            sessions.get_session_by_cookie, self._parts.keyring, digest=cookie_digest
        )
        return found.id if found else None

    def list_changed(self) -> dict[str, datetime]:
        """Return the sessions changed in the last half minute, for the poll."""
        return self._parts.database.reading(sessions.list_changed)

    def _user_of_cookie(
        self, db: Connection, cookie_digest: bytes, *, now: datetime
    ) -> tuple[User, Session] | None:
        session = sessions.get_session_by_cookie(db, self._parts.keyring, digest=cookie_digest)
        if session is None:
            return None
        context = AuthenticationContext(
            session.subject, session.acr, session.amr, session.auth_time
        )
        user = self._user_of_session(db, session, context, session.scope, now=now)
        return None if user is None or user is OVER else (user, session)

    def _user_of_bearer(
        self, db: Connection, session_id: str, *, now: datetime
    ) -> User | Over | None:
        session = sessions.get_session(db, self._parts.keyring, session_id)
        if session is None or session.has_cookie:
            return None
        context = AuthenticationContext(
            session.subject, session.acr, session.amr, session.auth_time
        )
        return self._user_of_session(db, session, context, session.scope, now=now)

    def _read_claims(
        self, read: Callable[..., Any], claims: AccessClaims, *, now: datetime
    ) -> User | Over | None:
        """Read all that a token needs with one message, and look at the answers behind it.

        Args:
            read: The database's `reading`, or its `reading_inline`.
        """
        asked: _Asked = read(self._ask, claims)
        session = sessions.session_of(self._parts.keyring, asked.session)
        if session is None or session.has_cookie:
            return None
        account = accounts.account_of(asked.account)

        def is_enough_for(known: Account) -> bool:
            policies = self._parts.policies.policies_of(asked.policies)
            if not policies:
                return True
            demands = demands_on(policies, known.subject, known.roles, now=now)
            if claims.acr.satisfies(demands.acr):
                return True
            return demands.trusts_devices and bool(read(has_second_factor, self._parts, known))

        return _user(
            session,
            account,
            _context_of(claims),
            claims.scope,
            is_enough_for=is_enough_for,
            now=now,
        )

    def _ask(self, db: Connection, claims: AccessClaims) -> "_Asked":
        return _Asked(
            sessions.ask_session(db, claims.session_id),
            accounts.ask_account(db, claims.subject),
            self._parts.policies.ask(db),
        )

    def _user_of_claims(
        self, db: Connection, claims: AccessClaims, *, now: datetime
    ) -> User | Over | None:
        session = sessions.get_session(db, self._parts.keyring, claims.session_id)
        if session is None or session.has_cookie:
            return None
        return self._user_of_session(db, session, _context_of(claims), claims.scope, now=now)

    def _user_of_session(
        self,
        db: Connection,
        session: Session,
        context: AuthenticationContext,
        scope: tuple[str, ...],
        *,
        now: datetime,
    ) -> User | Over | None:
        def is_enough_for(known: Account) -> bool:
            return is_enough(db, self._parts, known, context.acr, now=now)

        account = self._parts.accounts.get(db, session.subject)
        return _user(session, account, context, scope, is_enough_for, now=now)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked of the database, in one message."""

    session: Rows
    account: Rows
    policies: Rows


def _context_of(claims: AccessClaims) -> AuthenticationContext:
    return AuthenticationContext(claims.subject, claims.acr, claims.amr, claims.auth_time)


def _user(
    session: Session,
    account: Account | None,
    context: AuthenticationContext,
    scope: tuple[str, ...],
    is_enough_for: Callable[[Account], bool],
    *,
    now: datetime,
) -> User | Over | None:
    """Return the user of a session, if it is alive, the account's, and enough for the policies."""
    if session.subject != context.account:
        return None
    if account is None or account.subject != session.subject or account.is_disabled:
        return None
    if account.password_expires_at is not None and account.password_expires_at <= now:
        return None
    if not session.is_alive(generation=account.generation, now=now):
        return OVER
    if not is_enough_for(account):
        return None
    return User(
        id=account.subject,
        host_id=account.host_id,
        username=account.username,
        email=account.email,
        full_name=account.full_name,
        roles=frozenset(account.roles),
        scope=frozenset(scope),
        acr=Acr(context.acr),
        amr=context.amr,
        auth_time=context.auth_time,
        session_id=session.id,
        generation=account.generation,
        must_change_password=account.must_change_password,
        language=account.language,
    )
