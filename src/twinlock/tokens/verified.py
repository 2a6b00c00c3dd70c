"""What a process remembers of access tokens, so that each is verified once."""

import functools
import heapq
import math
import threading
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Generic, TypeVar

from twinlock.tokens.access_token import MAX_TOKEN_BYTES

E = TypeVar("E")

CAPACITY: Final = 65_536
PER_SESSION: Final = 8


@dataclass(slots=True)
class Held(Generic[E]):
    """What is remembered of one token; whoever keeps it sees here when it was forgotten."""

    entry: E
    expires_at: datetime
    session_id: str
    is_forgotten: bool = False


class VerifiedTokens(Generic[E]):
    """Verified tokens with what a caller knows of each, until they expire or are forgotten.

    Only what was verified is remembered, so that invented tokens push nothing out, and each
    session has few places, so that one account that refreshes wildly pushes out only its own.
    When all places are taken, the token that expires first makes room: one that has expired
    if there is one, else the oldest.

    `get` runs on the event loop and takes no lock: it reads one dictionary once, which is
    atomic, with the GIL and without. Everything that writes takes the lock, from any thread.
    """

    def __init__(self, *, capacity: int = CAPACITY, per_session: int = PER_SESSION) -> None:
        """Make room for *capacity* tokens, *per_session* of each session."""
        self._capacity = capacity
        self._per_session = per_session
        self._lock = threading.Lock()
        self._entries: dict[bytes, Held[E]] = {}
        self._of_session: dict[str, tuple[bytes, ...]] = {}  # oldest first
        self._expiries: list[tuple[datetime, bytes]] = []  # a heap; may name forgotten tokens

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str, *, now: datetime) -> E | None:
        """Return what was remembered of *token*, unless it has expired; never raises.

        Args:
            token: Any text from outside.
            now: The verifier's time.
        """
        held = self.find(token)
        return held.entry if held is not None and now < held.expires_at else None

    def find(self, token: str) -> Held[E] | None:
        """Return what is held of *token*, which may have expired; never raises."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        return self._entries.get(_digest_of_recent(token))

    def remember(
        self, token: str, session_id: str, entry: E, *, expires_at: datetime, now: datetime
    ) -> None:
        """Remember *entry* for a token that was verified just now, instead of an older entry."""
        digest = _digest(token)
        with self._lock:
            known = self._entries.get(digest)
            if known is not None and (known.session_id, known.expires_at) != (
                session_id,
                expires_at,
            ):
                self._drop(digest)
                known = None
            if known is None:
                self._make_room(session_id, now=now)
                self._of_session[session_id] = (*self._of_session.get(session_id, ()), digest)
                heapq.heappush(self._expiries, (expires_at, digest))
            else:
                known.is_forgotten = True
            self._entries[digest] = Held(entry, expires_at, session_id)

    def forget_session(self, session_id: str) -> None:
        """Forget every token of a session."""
        with self._lock:
            for digest in self._of_session.pop(session_id, ()):
                self._entries.pop(digest).is_forgotten = True

    def forget_all(self) -> None:
        """Forget every token."""
        with self._lock:
            for held in self._entries.values():
                held.is_forgotten = True
            self._entries.clear()
            self._of_session.clear()
            self._expiries.clear()

    def _make_room(self, session_id: str, *, now: datetime) -> None:
        """Leave a free place for one more token of the session."""
        own = self._of_session.get(session_id, ())
        if len(own) >= self._per_session:
            self._drop(own[0])
        while self._expiries and (
            self._expiries[0][0] <= now or len(self._entries) >= self._capacity
        ):
            expires_at, digest = heapq.heappop(self._expiries)
            held = self._entries.get(digest)
            if held is not None and held.expires_at == expires_at:
                self._drop(digest)
        if len(self._expiries) > 2 * self._capacity:
            self._expiries = [(held.expires_at, key) for key, held in self._entries.items()]
            heapq.heapify(self._expiries)

    def _drop(self, digest: bytes) -> None:
        dropped = self._entries.pop(digest)
        dropped.is_forgotten = True
        session_id = dropped.session_id
        others = tuple(other for other in self._of_session[session_id] if other != digest)
        if others:
            self._of_session[session_id] = others
        else:
            del self._of_session[session_id]


class Latest(Generic[E]):
    """What the headers of the latest requests stand for, so that none is taken apart twice.

    It keeps whole headers, and few of them: whatever is found here must tell by itself whether
    it still holds. No method waits, and each is one step of a dictionary: from any thread.
    """

    def __init__(self, *, capacity: int = 512) -> None:
        """Keep up to *capacity* headers."""
        self._capacity = capacity
        self._known: dict[bytes, E] = {}

    def find(self, header: bytes) -> E | None:
        """Return what a header stands for, if it was kept."""
        return self._known.get(header)

    def keep(self, header: bytes, found: E) -> None:
        """Keep what a header stands for; when all places are taken, all are given anew."""
        if len(self._known) >= self._capacity:
            self._known.clear()
        if len(header) <= MAX_TOKEN_BYTES:
            self._known[header] = found


class RefusedTokens:
    """Tokens refused a moment ago, so that repeating one costs no second signature check.

    For the event loop's thread only. A refusal holds for a second at most, because keys are
    reloaded and clocks move on; a flood of different tokens pushes out refusals, and nothing
    else.
    """

    def __init__(self, *, capacity: int = 1024, seconds: float = 1.0) -> None:
        """Remember up to *capacity* tokens, each for *seconds*."""
        self._capacity = capacity
        self._seconds = seconds
        self._until: dict[bytes, float] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._until)

    def add(self, token: str, *, at: float) -> None:
        """Remember that *token* was refused.

        Args:
            at: Seconds on a monotonic clock.
        """
        digest = _digest(token)
        self._until.pop(digest, None)
        if len(self._until) >= self._capacity:
            del self._until[next(iter(self._until))]
        self._until[digest] = at + self._seconds

    def has(self, token: str, *, at: float) -> bool:
        """Tell whether *token* was refused within the last moment, or is too long to be read."""
        return at < self.until(token)

    def until(self, token: str) -> float:
        """Return until when *token* is refused: for ever if it is too long to be read."""
        if len(token) > MAX_TOKEN_BYTES:
            return math.inf
        return self._until.get(_digest_of_recent(token), -math.inf)

    def clear(self) -> None:
        """Forget every refusal, as new keys were loaded."""
        self._until.clear()


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


_digest_of_recent = functools.lru_cache(maxsize=512)(_digest)
"""The same for tokens of allowed length, not computed anew for whoever is busy just now."""
