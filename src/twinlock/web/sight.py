"""Who a request speaks for, from memory where nothing has changed since the last look.

A token's signature and claims are checked once. What was found is remembered together with
the session's mark, which was read *before* the session's row; while the mark is the same, the
poll of changed sessions runs, and a minute has not passed, the row is not asked again. That a
session is over for good is remembered in the same way as whose it is.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from twinlock.core import clock
from twinlock.core.clock import Clock
from twinlock.core.principal import User
from twinlock.core.secrets import digest
from twinlock.db.inline import WouldWaitError
from twinlock.flows.keys import Keys
from twinlock.flows.liveness import OVER, Liveness, Over
from twinlock.flows.parts import Parts
from twinlock.tokens import access_token
from twinlock.tokens.marks import number_of
from twinlock.tokens.signing_keys import KeySet
from twinlock.tokens.verified import Held, Latest, RefusedTokens, VerifiedTokens
from twinlock.web.bearer import bearer_token
from twinlock.web.recognition import REFUSED, Refused
from twinlock.web.rounds import Rounds
from twinlock.web.work import Workers

POLL_SECONDS: Final = 0.9
"""Changes elsewhere are seen within a second: the look itself takes its time, too."""
_SILENCE_SECONDS: Final = 5.0
"""How long memory is believed while the poll does not get through."""
_LOOK_AGAIN_SECONDS: Final = 60.0
_COOKIE_PREFIX: Final = "\N{BLACK CIRCLE}"
_SESSION_PREFIX: Final = "\N{WHITE CIRCLE}"
"""Keep cookies, sessions and tokens apart in memory: no header, read as Latin-1, spells them."""


class AskForUser(Protocol):
    """Asks the database for the user of a token, whichever way."""

    def __call__(self, claims: access_token.AccessClaims, *, now: datetime) -> User | Over | None:
        """Return the user; `OVER` or None when the token opens nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A user, or that there is none any more, and until when nothing needs to be asked again.

    Attributes:
        until: Seconds on the monotonic clock.
        expires_at: Seconds since 1970.
    """

    user: User | Refused
    mark_number: int
    mark: int
    until: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Glance:
    """A session's mark, and the last change to it that a poll saw."""

    session_id: str
    mark: int
    changed_at: datetime | None


class Sight:
    """Turns tokens and cookies into users."""

    def __init__(self, parts: Parts, keys: Keys, liveness: Liveness, workers: Workers) -> None:
        self._parts = parts
        self._clock: Clock = parts.clock
        self._seconds = clock.seconds_of(parts.clock)
        self._read_mark = parts.marks.read
        self._marks = parts.marks
        self._keys = keys
        self._liveness = liveness
        self._workers = workers
        self._seen: VerifiedTokens[Seen] = VerifiedTokens()
        self._latest: Latest[Held[Seen]] = Latest()
        self._refused = RefusedTokens()
        self._polled_at = clock.monotonic()
        self._changed: Mapping[str, datetime] = {}
        self._poll = Rounds(
            self._look_and_tell, every_seconds=POLL_SECONDS, name="poll", failed="poll_failed"
        )
        self.looked_around: Callable[[], None] | None = None
        """Called behind each look at the database that got through."""

    def recall(self, authorization: bytes) -> User | Refused | None:
        """Return whom the bearer token in a header stands for, if memory still holds good.

        It runs at every request, so whatever can be computed beforehand is computed in `_remember`.
        """
        held = self._latest.find(authorization)
        whose = None if held is None else self._still(held)
        return self._recall_earlier(authorization) if whose is None else whose

    def remembered(self, credential: str) -> User | None:
        """Return the user of a token, or of a prefixed cookie, if memory still holds good."""
        held = self._seen.find(credential)
        user = None if held is None else self._still(held)
        return user if isinstance(user, User) else None

    def is_refused(self, token: str) -> bool:
        """Tell whether a token was refused just now."""
        return self._refused.has(token, at=clock.monotonic())

    def _still(self, held: Held[Seen]) -> User | Refused | None:
        """Return who was found, unless something may have changed since."""
        seen = held.entry
        present = clock.monotonic()
        if (
            held.is_forgotten
            or seen.mark != self._marks.view[seen.mark_number]
            or present >= seen.until
            or present - self._polled_at > _SILENCE_SECONDS
            or self._seconds() >= seen.expires_at
        ):
            return None
        return seen.user

    def _recall_earlier(self, authorization: bytes) -> User | Refused | None:
        """Return the same where the latest requests do not tell."""
        token = bearer_token(authorization)
        if token is None:
            return None
        held = self._seen.find(token)
        if held is not None:
            self._latest.keep(authorization, held)
            return self._still(held)
        until = self._refused.until(token)
        if clock.monotonic() >= until:
            return None
        # The mark is anybody's: at most the token is looked at once more.
        seen = Seen(REFUSED, 0, self._marks.view[0], until, math.inf)
        self._latest.keep(authorization, Held(seen, datetime.max.replace(tzinfo=UTC), ""))
        return REFUSED

    async def user_of_token(self, token: str) -> User | None:
        """Return the user of an access token, or None when it opens nothing.

        The signature is checked here: a hop to a thread, for what may be forged, costs as much.

        Raises:
            DatabaseUnavailableError: It cannot be decided now.
        """
        held = self._seen.find(token)
        known = None if held is None else self._still(held)
        if known is not None:
            return known if isinstance(known, User) else None
        if self.is_refused(token):
            return None
        kid = access_token.claimed_kid(token)
        if kid is None:
            return None
        keys = self._keys.current()
        if kid not in keys.verification:  # to look for newer keys is a thread's work
            user = await self._workers.run(self._look_at_token, token)
        elif (claims := self._verified(token, keys, now=self._clock())) is not None:
            user = await self._look(token, claims)
        else:
            user = None
        if user is None:  # forged, or nobody's just now
            self._refused.add(token, at=clock.monotonic())
        return user if isinstance(user, User) else None

    async def _look(self, token: str, claims: access_token.AccessClaims) -> User | Over | None:
        """Look at the session of a token whose signature holds: here if that waits for nobody."""
        try:
            return self._look_at_claims(token, claims, self._liveness.user_of_token_at_once)
        except WouldWaitError:
            return await self._workers.run(
                self._look_at_claims, token, claims, self._liveness.user_of_token
            )

    async def user_of_cookie(self, secret: str, *, is_active: bool = True) -> User | None:
        """Return the user of a session cookie, or None when it opens nothing.

        Args:
            is_active: Whether its user did something, which keeps an idle session alive.

        Raises:
            DatabaseUnavailableError: It cannot be decided now.
        """
        user = self.remembered(_COOKIE_PREFIX + secret)
        if user is not None:
            return user
        return await self._workers.run(self._look_at_cookie, secret, is_active=is_active)

    async def user_of_session(self, session_id: str) -> User | None:
        """Return the user of a bearer's session, or None when it is over.

        Raises:
            DatabaseUnavailableError: It cannot be decided now.
        """
        user = self.remembered(_SESSION_PREFIX + session_id)
        if user is not None:
            return user
        return await self._workers.run(self._look_at_session, session_id)

    def claims_of(self, token: str) -> access_token.AccessClaims | None:
        """Return what an access token says, its session aside."""
        now = self._clock()
        keys = self._keys.current()
        kid = access_token.claimed_kid(token)
        if kid is not None and kid not in keys.verification:
            keys = self._keys.reload_for_unknown(now=now)
        return self._verified(token, keys, now=now)

    def start(self) -> None:
        """Begin to poll for what other processes and machines have changed."""
        self._poll.start()

    def close(self) -> None:
        """Stop polling."""
        self._poll.close()

    def look_around(self) -> None:
        """Forget what was changed by others since the last look."""
        self._parts.marks.refresh_if_replaced()
        self._parts.keyring.look_again()
        began_at = clock.monotonic()
        known, changed = self._changed, self._liveness.list_changed()
        self._changed = changed  # before forgetting: see _remember
        for session_id, changed_at in changed.items():
            if known.get(session_id) != changed_at:
                self._seen.forget_session(session_id)
        was_blind = began_at - self._polled_at > _SILENCE_SECONDS
        if self._keys.refresh_if_changed(now=self._clock()) or was_blind:
            self._seen.forget_all()  # changes may have come and gone unseen
        self._polled_at = began_at

    def _look_and_tell(self) -> None:
        self.look_around()
        if self.looked_around is not None:
            self.looked_around()

    def _look_at_token(self, token: str) -> User | Over | None:
        claims = self.claims_of(token)
        if claims is None:
            return None
        return self._look_at_claims(token, claims, self._liveness.user_of_token)

    def _look_at_claims(
        self, token: str, claims: access_token.AccessClaims, ask: AskForUser
    ) -> User | Over | None:
        before = self._glance(claims.session_id)
        now = self._clock()
        user = ask(claims, now=now)
        if user is not None:
            whose = REFUSED if user is OVER else user
            self._remember(token, whose, before, expires_at=claims.expires_at, now=now)
        return user

    def _look_at_session(self, session_id: str) -> User | None:
        before = self._glance(session_id)
        now = self._clock()
        user = self._liveness.user_of_session(session_id, now=now)
        if user is not None:
            soon = now + timedelta(minutes=1)
            self._remember(_SESSION_PREFIX + session_id, user, before, expires_at=soon, now=now)
        return user

    def _look_at_cookie(self, secret: str, *, is_active: bool) -> User | None:
        session_id = self._liveness.session_id_of_cookie(digest(secret))
        if session_id is None:
            return None
        before = self._glance(session_id)
        now = self._clock()
        found = self._liveness.user_of_cookie(secret, is_active=is_active, now=now)
        if found is None:
            return None
        user, session = found
        if not is_active:
            return user  # remembered, it would hide the next activity from the session's row
        expires_at = min(session.expires_at, session.idle_until, now + timedelta(minutes=1))
        self._remember(_COOKIE_PREFIX + secret, user, before, expires_at=expires_at, now=now)
        return user

    def _verified(
        self, token: str, keys: KeySet, *, now: datetime
    ) -> access_token.AccessClaims | None:
        return access_token.verify(
            token,
            keys.verification,
            issuer=self._parts.issuer,
            audience=self._parts.audience,
            now=now,
            ahead=self._parts.clock_skew,
        )

    def _glance(self, session_id: str) -> Glance:
        """Return what must not have changed by the time that a row read now is remembered."""
        mark = self._read_mark(session_id)
        return Glance(session_id, mark, self._changed.get(session_id))

    def _remember(
        self,
        credential: str,
        user: User | Refused,
        before: Glance,
        *,
        expires_at: datetime,
        now: datetime,
    ) -> None:
        """Remember what a session's row said, which was read after *before*.

        A poll that saw the row change meanwhile has nothing to forget yet. It says what it
        saw before it forgets, so that whoever remembers too late finds it here.
        """
        session_id = before.session_id
        until = clock.monotonic() + _LOOK_AGAIN_SECONDS
        number = number_of(session_id)
        seen = Seen(user, number, before.mark, until, expires_at.timestamp())
        self._seen.remember(credential, session_id, seen, expires_at=expires_at, now=now)
        if self._changed.get(session_id) != before.changed_at:
            self._seen.forget_session(session_id)
