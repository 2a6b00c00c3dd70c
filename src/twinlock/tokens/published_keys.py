"""What a service holds of the keys that a login server elsewhere publishes.

fetched ── 5 min ──> renewed in the background ── 1 h without success ──> believed no more

An unknown key id is worth a fetch as well: after a rotation the new key signs at once. At most
one fetch is begun in 5 s and one runs at a time, so that nobody outside can choose how often the
login server is asked, and everybody who has to wait waits for the same one.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from joserfc.jwk import ECKey

from twinlock.core.errors import KeysUnavailableError

log = logging.getLogger("twinlock.tokens")

RENEW_AFTER: Final = timedelta(minutes=5)
MAX_AGE: Final = timedelta(hours=1)
SPACING: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[str, ECKey]
    asked_at: datetime


class PublishedKeys:
    """The keys of one login server, by key id, renewed by need; for any thread."""

    def __init__(self, fetch: Callable[[], Mapping[str, ECKey]]) -> None:
        """Hold nothing yet.

        Args:
            fetch: Asks the login server; raises `KeysUnavailableError`.
        """
        self._fetch = fetch
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twinlock-keys")
        self._held: _Held | None = None
        self._begun_at: datetime | None = None
        self._fetching: Future[None] | None = None

    def has(self, kid: str, *, now: datetime) -> bool:
        """Tell whether a key is held and young enough to be believed."""
        held = self._held
        return held is not None and kid in held.keys and _age(held, now=now) <= MAX_AGE

    def renew(self, kid: str, *, now: datetime) -> Future[None] | None:
        """Begin a fetch if one is due; return what to wait for before *kid* can be judged.

        Args:
            kid: The key that a token claims to be signed with.
            now: The verifier's time.
        """
        with self._lock:
            is_known = self.has(kid, now=now)
            if self._is_due(is_known=is_known, now=now):
                self._begun_at = now
                self._fetching = self._thread.submit(self._renew, now)
            return None if is_known else self._fetching

    def current(self, *, now: datetime) -> Mapping[str, ECKey]:
        """Return the keys.

        Raises:
            KeysUnavailableError: There are none, or the last fetch that succeeded is too old.
        """
        held = self._held
        if held is None or _age(held, now=now) > MAX_AGE:
            raise KeysUnavailableError("the keys of the issuer could not be fetched in time")
        return held.keys

    def _is_due(self, *, is_known: bool, now: datetime) -> bool:
        if self._fetching is not None and not self._fetching.done():
            return False
        if self._begun_at is not None and timedelta(0) <= now - self._begun_at < SPACING:
            return False
        return not is_known or self._held is None or _age(self._held, now=now) >= RENEW_AFTER

    def _renew(self, asked_at: datetime) -> None:
        try:
            self._held = _Held(self._fetch(), asked_at)
        except KeysUnavailableError as error:
            log.warning("keys_not_fetched", extra={"error": str(error)})
        except Exception:  # whoever waits for it learns it from what is not there
            log.exception("keys_not_fetched")


def _age(held: _Held, *, now: datetime) -> timedelta:
    """Return the age of what is held; a clock that was set back makes it too old to believe."""
    age = now - held.asked_at
    return age if age >= timedelta(0) else timedelta.max
