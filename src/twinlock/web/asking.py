"""Asking the host's directory: an async one on the event loop, another on a thread of ours."""

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twinlock.accounts.directory import (
    ChecksPasswords,
    Directory,
    DirectoryEntry,
    TellsHashes,
    UpgradesHashes,
    flaw_in,
)
from twinlock.accounts.password_check import PasswordCheck
from twinlock.accounts.passwords import is_too_long, scheme_of
from twinlock.core import clock
from twinlock.core.clock import Clock
from twinlock.core.errors import DirectoryError, TwinlockError
from twinlock.flows.host_accounts import HostChanges
from twinlock.web.work import Workers

log = logging.getLogger("twinlock.web")

_PATIENCE_SECONDS: Final = 5.0
_LEARN_AGAIN_SECONDS: Final = 600.0


class Asking:
    """Asks a directory, never inside a transaction of ours, and notes what it answers."""

    def __init__(
        self,
        directory: Directory,
        changes: HostChanges,
        password_check: PasswordCheck,
        workers: Workers,
        present: Clock,
    ) -> None:
        self._clock = present
        self._directory = directory
        self._password_check = password_check
        self._schemes: Counter[str] = Counter()
        self._learn_at = -_LEARN_AGAIN_SECONDS
        self._changes = changes
        self._workers = workers

    async def find(self, login: str) -> DirectoryEntry | None:
        """Return the account that *login* names.

        Raises:
            DirectoryError: The directory failed, or did not answer in time.
        """
        await self._learn_hashes()
        entry = _entry(await self._ask(self._directory.find, login))
        if entry and entry.password_hash and not isinstance(self._directory, TellsHashes):
            self._learn(Counter(self._schemes.keys() | {scheme_of(entry.password_hash)}))
        return entry

    async def get(self, host_id: str) -> DirectoryEntry | None:
        """Return the account of an id.

        Raises:
            DirectoryError: The directory failed, did not answer in time, or told of another one.
        """
        entry = _entry(await self._ask(self._directory.get, host_id))
        if entry is not None and entry.host_id != host_id:
            log.error("directory_failed", extra={"error": "another account than the one asked for"})
            raise DirectoryError("the directory told of another account than the one asked for")
        return entry

    async def renew(self, host_id: str) -> None:
        """Ask for an account again, and take over what changed.

        Raises:
            TwinlockError: It cannot be done now.
        """
        now = self._clock()
        entry = await self.get(host_id)
        await self._workers.run(self._changes.note, host_id, entry, now=now)

    @property
    def checks_passwords(self) -> bool:
        """Whether the directory checks passwords itself."""
        return isinstance(self._directory, ChecksPasswords)

    async def is_password(self, entry: DirectoryEntry | None, password: str) -> bool:
        """Have the directory check a password, also for a name that nobody has.

        Raises:
            DirectoryError: The directory failed, or did not answer in time.
        """
        if not isinstance(self._directory, ChecksPasswords):
            raise DirectoryError("this directory checks no passwords")
        too_long = is_too_long(password)
        tried = "" if too_long else password
        answer = await self._ask(self._directory.check_password, entry, tried)
        return answer is True and entry is not None and not too_long

    async def upgrade_hash(self, host_id: str, *, verified: str, password_hash: str) -> None:
        """Hand over a stronger hash, if the directory takes one.

        Raises:
            DirectoryError: The directory failed, or did not answer in time.
        """
        if isinstance(self._directory, UpgradesHashes):
            await self._ask(
                self._directory.upgrade_hash,
                host_id,
                verified=verified,
                password_hash=password_hash,
            )

    @property
    def takes_hashes(self) -> bool:
        """Whether the directory takes stronger hashes."""
        return isinstance(self._directory, UpgradesHashes)

    async def _learn_hashes(self) -> None:
        """Find out which kinds of hashes there are, so that unknown names take as long."""
        if not isinstance(self._directory, TellsHashes) or clock.monotonic() < self._learn_at:
            return
        hashes = await self._ask(self._directory.some_hashes)
        self._learn_at = clock.monotonic() + _LEARN_AGAIN_SECONDS
        self._learn(Counter(map(scheme_of, hashes)))

    def _learn(self, schemes: Counter[str]) -> None:
        if schemes.keys() != self._schemes.keys() or len(schemes) < sum(schemes.values()):
            self._schemes = schemes
            self._password_check.set_proportions(schemes)

    async def _ask(self, question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                if inspect.iscoroutinefunction(question):
                    return await question(*args, **kwargs)
                answer = await self._workers.run(question, *args, **kwargs)
                if inspect.isawaitable(answer):
                    return await answer
                return answer
        except TwinlockError:
            raise
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            log.error("directory_failed", extra={"error": type(error).__name__})
            raise DirectoryError(type(error).__name__) from error


def _is_cancelled() -> bool:
    """Tell whether the request itself was given up, and not something that the host waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _entry(answer: object) -> DirectoryEntry | None:
    if answer is None:
        return None
    flaw = flaw_in(answer) if isinstance(answer, DirectoryEntry) else "no DirectoryEntry"
    if not isinstance(answer, DirectoryEntry) or flaw is not None:
        log.error("directory_failed", extra={"error": flaw})
        raise DirectoryError(f"the directory told something impossible: {flaw}")
    return answer
