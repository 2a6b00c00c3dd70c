"""WebSockets stay guarded while they are open: each message is checked, and time checks too.

A guard that lets a WebSocket pass leaves its question here. It is asked again before each
message that the application receives or sends, and by a timer meanwhile. At the first refusal
the client is told with a close, and the application finds the connection ended, as if the
client had gone.

The token of a browser, which can set no header, comes as a subprotocol::

    Sec-WebSocket-Protocol: twinlock.bearer, <token>
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from twinlock.web.problems import ProblemError

log = logging.getLogger("twinlock.web")

BEARER: Final = "twinlock.bearer"
"""The subprotocol that says that the next one offered is the token; the one that is answered."""
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013
"""Close codes of RFC 6455 section 7.4.1 and of its registry."""
CHECK_SECONDS: Final = 5.0
"""How often an idle connection is looked at, where no setting says otherwise."""
WATCH_KEY: Final = "twinlock.socket"
"""Where the ASGI scope of a WebSocket holds its watch."""

Question = Callable[[bool], Awaitable[object]]
"""Asks whether a connection may go on; told whether its user did something just now."""


class SocketEndedError(OSError):
    """The connection was closed because its user may not go on; ASGI's error for late sends."""


class Watch:
    """One WebSocket, from its handshake to its end."""

    def __init__(self, receive: Receive, send: Send, *, interval: float) -> None:
        """Stand between a server and an application.

        Args:
            interval: Seconds between two looks at an idle connection.
        """
        self._receive = receive
        self._send = send
        self._interval = interval
        self._questions: dict[object, Question] = {}
        self._reading: asyncio.Future[Message] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._is_closed = False

    def ask(self, key: object, question: Question) -> None:
        """Have *question* asked for the rest of the connection, once for each *key*."""
        self._questions[key] = question
        if self._timer is None:
            self._timer = asyncio.create_task(self._look_now_and_then(), name="twinlock-socket")

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run an application on this connection, and leave nothing running behind it."""
        scope[WATCH_KEY] = self
        offered = scope.get("subprotocols", ())
        scope["subprotocols"] = without_token(offered)
        try:
            await app(scope, self.receive, self._sender(offered))
        except WebSocketDisconnect:
            if not self._ended.done():
                raise
        finally:
            await self._leave()

    async def receive(self) -> Message:
        """Return the client's next message, or that the connection has ended."""
        if not self._questions:
            return await self._receive()
        if self._reading is None:
            # One that an application stops waiting for is kept: it may have a message by then.
            self._reading = asyncio.ensure_future(self._receive())
        await asyncio.wait((self._reading, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            return self._goodbye()
        reading, self._reading = self._reading, None
        message = reading.result()
        if message["type"] == "websocket.receive" and not await self._may_go_on(is_active=True):
            return self._goodbye()
        return message

    def _sender(self, offered: Sequence[str]) -> Send:
        has_token = BEARER in offered

        async def send(message: Message) -> None:
            if message["type"] == "websocket.send" and self._questions:
                await self._may_go_on(is_active=False)
            if self._ended.done():
                raise SocketEndedError("the connection was closed: its user may not go on")
            if message["type"] == "websocket.accept" and has_token:
                message = {**message, "subprotocol": _answered(message, offered)}
            self._is_closed |= message["type"] == "websocket.close"
            await self._send(message)

        return send

    async def _look_now_and_then(self) -> None:
        while not self._ended.done():
            await asyncio.sleep(self._interval)  # the timer beside the messages
            await self._may_go_on(is_active=False)

    async def _may_go_on(self, *, is_active: bool) -> bool:
        try:
            for question in tuple(self._questions.values()):
                await question(is_active)
        except ProblemError as error:
            await self._end(close_code(error), error.detail)
        except Exception:
            log.exception("socket_check_failed")
            await self._end(INTERNAL_ERROR, "")
        return not self._ended.done()

    async def _end(self, code: int, reason: str) -> None:
        if self._ended.done():
            return
        self._ended.set_result((code, reason))
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(OSError, RuntimeError):  # the client is gone already
                await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def _goodbye(self) -> Message:
        code, reason = self._ended.result()
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    async def _leave(self) -> None:
        """Cancel what still waits for the client or the clock, and see it end."""
        waiting = [one for one in (self._timer, self._reading) if one is not None]
        for one in waiting:
            one.cancel()
        if waiting:
            await asyncio.wait(waiting)


async def run_watched(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, interval: float = CHECK_SECONDS
) -> None:
    """Run an application on a WebSocket that guards inside may watch; once is enough."""
    if WATCH_KEY in scope:
        await app(scope, receive, send)
    else:
        await Watch(receive, send, interval=interval).run(app, scope)


def close_code(error: ProblemError) -> int:
    """Return what a WebSocket is closed with: 1008, or 1013 where nothing could be decided."""
    return TRY_AGAIN_LATER if error.status_code == 503 else POLICY_VIOLATION


def offered_tokens(scope: Scope) -> list[str]:
    """Return the tokens among the subprotocols that a client offers, an empty one where it ends."""
    offered = [
        part.strip()
        for name, value in scope["headers"]
        if name == b"sec-websocket-protocol"
        for part in value.decode("latin-1").split(",")
    ]
    return [
        offered[place + 1] if place + 1 < len(offered) else ""
        for place, one in enumerate(offered)
        if one == BEARER
    ]


def without_token(offered: Sequence[str]) -> list[str]:
    """Return the subprotocols that an application may choose from."""
    return [one for place, one in enumerate(offered) if place == 0 or offered[place - 1] != BEARER]


def _answered(message: Message, offered: Sequence[str]) -> str:
    """Return the subprotocol to accept with: the application's choice, and never a token.

    A browser that offers some gives up when none is accepted.
    """
    chosen = message.get("subprotocol")
    return chosen if chosen in without_token(offered) else BEARER
