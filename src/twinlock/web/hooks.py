"""Hooks: what an application does when something has happened, behind the commit.

They come from the audit events of a committed transaction, so that no door can forget them. A
thread of its own runs them in order: nothing that a hook does, fails to do or waits for reaches
the login that it hears of.
"""

import asyncio
import inspect
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

from twinlock.audit.events import Event, EventType
from twinlock.core.errors import TwinlockError

if TYPE_CHECKING:
    from twinlock.flows.parts import Parts

log = logging.getLogger("twinlock.hooks")

CAPACITY: Final = 1_000
"""Events that wait for their hooks at most; denials, which strangers can cause, get half of it."""
PATIENCE_SECONDS: Final = 30.0
"""How long an asynchronous hook may take."""
FAREWELL_SECONDS: Final = 5.0
"""How long a shutdown waits for hooks."""


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """What a hook is told: no secret, and nothing that the audit log does not hold.

    Attributes:
        type: What happened, as in the reference of events (``login.succeeded``).
        at: When, in UTC.
        subject: The account's ``sub``; None where there is no such account.
        host_id: Your id of it, with users of your own; None when it is gone by now.
        username: Its name now; None when it is gone by now.
        reason: Why something was denied.
        method: The factor, or ``password``.
        session_id: The session's handle.
        ip: Where the request came from.
        user_agent: What its client says it is.
        actor: Who acted on another's account.
        details: What else the audit log says.
        times: How often it happened: more than once where a flood of tries is refused.
    """

    type: str
    at: datetime
    subject: str | None
    host_id: str | None
    username: str | None
    reason: str | None
    method: str | None
    session_id: str | None
    ip: str | None
    user_agent: str | None
    actor: str | None
    details: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    times: int = 1


Hook = Callable[[SecurityEvent], Awaitable[None] | None]
H = TypeVar("H", bound=Hook)


class HookArguments(TypedDict, total=False):
    """The hooks that `Twinlock` takes as keywords."""

    on_signed_in: Hook
    on_denied: Hook
    on_signed_out: Hook
    on_reauthenticated: Hook
    on_factor_enrolled: Hook
    on_factor_removed: Hook
    on_password_changed: Hook
    on_recovery_used: Hook
    on_event: Hook


EVENTS: Final[Mapping[str, frozenset[EventType]]] = {
    "on_signed_in": frozenset({EventType.LOGIN_SUCCEEDED}),
    "on_denied": frozenset({EventType.LOGIN_DENIED, EventType.LOGIN_THROTTLED}),
    "on_signed_out": frozenset({EventType.SESSION_ENDED, EventType.SESSIONS_ENDED}),
    "on_reauthenticated": frozenset({EventType.REAUTHENTICATION_SUCCEEDED}),
    "on_factor_enrolled": frozenset({EventType.FACTOR_ENROLLED}),
    "on_factor_removed": frozenset({EventType.FACTOR_REMOVED, EventType.FACTORS_RESET}),
    "on_password_changed": frozenset({EventType.PASSWORD_CHANGED}),
    "on_recovery_used": frozenset({EventType.RECOVERY_CODE_SPENT}),
    "on_event": frozenset(EventType),
}
_DENIALS: Final = EVENTS["on_denied"]


class Hooks:
    """The hooks of one instance, and the thread that runs them."""

    def __init__(self) -> None:
        self._of: dict[EventType, list[Hook]] = {}
        self._waiting: queue.Queue[tuple[Event, Parts] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running: Future[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        """The application's event loop, where asynchronous hooks run."""

    def add(self, name: str, hook: Hook) -> None:
        """Have *hook* called for what *name* stands for.

        Raises:
            TypeError: There is no hook of this name, or *hook* cannot be called.
        """
        if name not in EVENTS:
            raise TypeError(f"there is no hook {name!r}")
        if not callable(hook):
            raise TypeError(f"{name} takes a function")
        for type_ in EVENTS[name]:
            self._of.setdefault(type_, []).append(hook)

    def committed(self, parts: "Parts", events: Sequence[object]) -> None:
        """Take what a transaction has committed; returns at once, and never raises."""
        for event in events:
            if not isinstance(event, Event) or event.type not in self._of:
                continue
            room = CAPACITY // 2 if event.type in _DENIALS else CAPACITY
            if self._waiting.qsize() >= room:
                log.error("hook_dropped", extra={"event_type": str(event.type)})
                continue
            self._waiting.put((event, parts))
            self._start()

    def finish(self, *, seconds: float = FAREWELL_SECONDS) -> bool:
        """Run what waits, then end the thread; return whether that was done in time.

        Not for the event loop's thread, on which hooks may have to run.
        """
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._waiting.put(None)
        thread.join(seconds)
        if thread.is_alive() and self._running is not None:
            self._running.cancel()
        return not thread.is_alive()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="twinlock-hooks", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            event, parts = item
            told = _told(event, parts)
            for hook in tuple(self._of[event.type]):
                self._call(hook, told)

    def _call(self, hook: Hook, told: SecurityEvent) -> None:
        try:
            answer = hook(told)
            if inspect.isawaitable(answer):
                self._wait_for(answer)
        except BaseException as error:  # a hook's exit must not end the thread of all others
            name = getattr(hook, "__qualname__", type(hook).__qualname__)
            log.error(
                "hook_failed",
                exc_info=error,
                extra={"hook": name, "event_type": told.type},
            )

    def _wait_for(self, answer: Awaitable[None]) -> None:
        """Let an asynchronous hook run on the application's loop, or on one of its own.

        Raises:
            TimeoutError: It took too long, and was cancelled.
        """

        async def patiently() -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await answer

        if self.loop is None or not self.loop.is_running():
            asyncio.run(patiently())
            return
        self._running = asyncio.run_coroutine_threadsafe(patiently(), self.loop)
        try:
            self._running.result(PATIENCE_SECONDS + 1)
        finally:
            self._running = None


def _told(event: Event, parts: "Parts") -> SecurityEvent:
    from twinlock.flows import auditing

    host_id, username = None, None
    if event.subject is not None:
        try:
            account = auditing.get_account(parts, event.subject)
        except TwinlockError:
            account = None
        if account is not None:
            host_id, username = account.host_id, account.username
    return SecurityEvent(
        type=str(event.type),
        at=event.at,
        subject=event.subject,
        host_id=host_id,
        username=username,
        reason=None if event.reason is None else str(event.reason),
        method=event.method,
        session_id=event.session_id,
        ip=event.caller.ip,
        user_agent=event.caller.user_agent,
        actor=event.caller.actor,
        details=event.details,
        times=event.times,
    )


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that this thread runs, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
