"""The only place that opens a session: it takes a proof, and there is no other way in."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.audit.events import Caller
from twinlock.core.clock import in_order
from twinlock.core.proof import AuthenticationContext, Proof, ProofMismatchError, context_of
from twinlock.core.secrets import digest, new_id, new_secret
from twinlock.flows.keys import Keys
from twinlock.flows.outcomes import Credentials, IssuedCookie, IssuedTokens
from twinlock.flows.parts import Parts
from twinlock.sessions import store as sessions
from twinlock.sessions.policy import Session
from twinlock.tokens import refresh_token
from twinlock.tokens.access_token import AccessClaims, sign

CLIENT_ID = "twinlock"
"""The one public first-party client."""


class Transport(StrEnum):
    """How a client carries its session."""

    BEARER = "bearer"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was written, and has not yet been told to anybody.

    Attributes:
        ended: Older sessions that had to go; their marks change after the commit.
    """

    session: Session
    context: AuthenticationContext
    account: Account
    cookie_secret: str | None = field(repr=False)
    ended: list[str]


class Opening:
    """Opens sessions and issues what their clients hold."""

    def __init__(self, parts: Parts, keys: Keys) -> None:
        self._parts = parts
        self._keys = keys

    def open_session(
        self,
        tx: Connection,
        account: Account,
        proof: Proof,
        caller: Caller,
        *,
        generation: int,
        scope: tuple[str, ...],
        transport: Transport,
        now: datetime,
    ) -> Opened:
        """Write a session of *account* that says what *proof* proves.

        Raises:
            ProofMismatchError: The proof is another account's: a bug.
        """
        context = context_of(proof)
        if context.account != account.subject:
            raise ProofMismatchError
        lifetimes = self._parts.lifetimes
        is_page = transport is Transport.COOKIE
        secret = new_secret() if is_page else None
        session = Session(
            id=new_id(),
            subject=account.subject,
            generation=generation,
            cookie_digest=digest(secret) if secret else None,
            refresh_counter=0,
            rotated_at=now,
            acr=context.acr,
            amr=context.amr,
            auth_time=context.auth_time,
            scope=scope,
            ip=caller.ip,
            user_agent=caller.user_agent,
            created_at=in_order(now),
            last_seen_at=now,
            idle_until=now + (lifetimes.page_idle if is_page else lifetimes.refresh_idle),
            expires_at=now + (lifetimes.page_absolute if is_page else lifetimes.refresh_absolute),
            ended_at=None,
        )
        sessions.insert_session(tx, self._parts.keyring, session)
        ended = sessions.end_oldest(
            tx, account.subject, newest=session.id, kept=lifetimes.max_sessions, now=now
        )
        return Opened(session, context, account, secret, ended)

    def issue(self, opened: Opened, *, now: datetime) -> Credentials:
        """Return what the client of a session that was just committed is to hold."""
        self._parts.marks.bump(opened.ended)
        session = opened.session
        if opened.cookie_secret is not None:
            return self.cookie(opened.cookie_secret)
        return IssuedTokens(
            access_token=self.access_token(session, opened.account, opened.context, now=now),
            expires_in=self._parts.lifetimes.access_token,
            refresh_token=refresh_token.mint(
                self._parts.keyring, session.id, session.refresh_counter
            ),
            scope=session.scope,
        )

    def cookie(self, secret: str) -> IssuedCookie:
        """Return the cookie of that secret, with its CSRF token."""
        return IssuedCookie(secret, self.csrf_token(secret), self._parts.lifetimes.page_absolute)

    def csrf_token(self, cookie_secret: str) -> str:
        """Return the CSRF token of a cookie: who cannot read the cookie cannot make it."""
        return self._parts.digest_key.digest("csrf", cookie_secret).hex()

    def is_csrf_token(self, claimed: str, *, cookie_secret: str) -> bool:
        """Tell whether *claimed* belongs to a cookie."""
        expected = self.csrf_token(cookie_secret)
        return compare_digest(claimed.encode("utf-8", "replace"), expected.encode("ascii"))

    def access_token(
        self,
        session: Session,
        account: Account,
        context: AuthenticationContext,
        *,
        scope: tuple[str, ...] | None = None,
        now: datetime,
    ) -> str:
        """Sign an access token of *session* (RFC 9068 section 2)."""
        claims = AccessClaims(
            issuer=self._parts.issuer,
            subject=account.subject,
            client_id=CLIENT_ID,
            audience=self._parts.audience,
            issued_at=now,
            expires_at=min(now + self._parts.lifetimes.access_token, session.expires_at),
            jti=new_id(),
            session_id=session.id,
            scope=session.scope if scope is None else scope,
            # Other services cannot see that a first password is to be changed before all else.
            roles=() if account.must_change_password else account.roles,
            acr=context.acr,
            amr=context.amr,
            auth_time=context.auth_time,
        )
        return sign(claims, self._keys.current().active)
