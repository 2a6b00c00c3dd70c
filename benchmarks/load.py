"""A small load generator on raw sockets, so that anyone can repeat a measurement.

Requests are bytes made beforehand; of a reply only status and length are read unless somebody
asks for more. One process of it drives several times what a FastAPI worker can answer.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from benchmarks.processes import Server

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: bytes) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


@dataclass(slots=True)
class Span:
    """What a server did and used between two moments."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """CPU of the server process for one request."""
        return self.cpu_seconds / self.requests * 1e6


class Connection(asyncio.Protocol):
    """A keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[Reply] | None = None
        self._stream: _Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        lost = exc or ConnectionError("the server closed the connection")
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(lost)
        if self._stream is not None and not self._stream.done.done():
            self._stream.done.set_exception(lost)

    def data_received(self, data: bytes) -> None:
        self._received += data
        reply = self._parsed()
        if reply is None:
            return
        if self._stream is not None:
            request = self._stream.next_after(reply)
            if request is not None:
                self._write(request)
        elif self._waiting is not None:
            self._waiting.set_result(reply)

    async def request(self, request: bytes) -> Reply:
        """Send one request and return its answer."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._write(request)
        return await self._waiting

    def start(self, stream: "_Stream") -> None:
        """Send the stream's request over and over until it has enough."""
        self._stream = stream
        self._write(stream.request)

    def stop(self) -> None:
        """Be free for other requests again."""
        self._stream = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, request: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        self._transport.write(request)

    def _parsed(self) -> Reply | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._received[:end]
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 : at + 30].split(b"\r\n")[0]) if at >= 0 else 0
        total = end + 4 + length
        if len(self._received) < total:
            return None
        body, self._received = self._received[end + 4 : total], self._received[total:]
        return Reply(int(head[9:12]), head, body)


class _Stream:
    """The same request again and again on one connection, until a moment."""

    def __init__(self, request: bytes, *, expected: int, until: float) -> None:
        self.request = request
        self.count = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected = expected
        self._until = until

    def next_after(self, reply: Reply) -> bytes | None:
        if reply.status != self._expected:
            self.done.set_exception(AssertionError(f"{reply.status}: {reply.body[:300]!r}"))
            return None
        self.count += 1
        if time.monotonic() < self._until:
            return self.request
        self.done.set_result(None)
        return None


@asynccontextmanager
async def connections(server: Server, count: int = CONNECTIONS) -> AsyncIterator[list[Connection]]:
    """Open keep-alive connections."""
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(Connection, "127.0.0.1", server.port))[1]
        for _ in range(count)
    ]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()
        await asyncio.sleep(0)  # one turn of the loop, in which the transports close


async def repeat(
    server: Server,
    opened: list[Connection],
    request: bytes,
    *,
    seconds: float,
    expected: int = 200,
) -> Span:
    """Send one request over all connections as fast as the answers come."""
    streams = [
        _Stream(request, expected=expected, until=time.monotonic() + seconds) for _ in opened
    ]
    cpu, begun = server.cpu_seconds(), time.monotonic()
    for connection, stream in zip(opened, streams, strict=True):
        connection.start(stream)
    await asyncio.gather(*(stream.done for stream in streams))
    spent, took = server.cpu_seconds() - cpu, time.monotonic() - begun
    for connection in opened:
        connection.stop()
    return Span(sum(stream.count for stream in streams), took, spent)


async def run_each(
    server: Server,
    opened: list[Connection],
    jobs: Iterator[Callable[[Connection], Awaitable[None]]],
) -> Span:
    """Run all jobs, each on whichever connection is free, and count them as requests."""
    done = 0

    async def work(connection: Connection) -> None:
        nonlocal done
        for job in jobs:
            await job(connection)
            done += 1

    cpu, begun = server.cpu_seconds(), time.monotonic()
    await asyncio.gather(*(work(connection) for connection in opened))
    return Span(done, time.monotonic() - begun, server.cpu_seconds() - cpu)


def get(
    path: str,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    port: int = 80,
) -> bytes:
    """Return a GET request as a usual API client sends it."""
    all_headers = dict(headers or {})
    if token:
        all_headers["Authorization"] = f"Bearer {token}"
    return _request("GET", path, all_headers, b"", port)


def post_form(
    path: str,
    fields: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    port: int = 80,
) -> bytes:
    """Return a POST request with a form."""
    body = urlencode(fields).encode()
    all_headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    return _request("POST", path, all_headers, body, port)


def post_json(
    path: str,
    value: object,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    port: int = 80,
) -> bytes:
    """Return a POST request with JSON."""
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    if token is not None:
        all_headers["Authorization"] = f"Bearer {token}"
    return _request("POST", path, all_headers, json.dumps(value).encode(), port)


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes, port: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Accept: application/json"]
    lines += ["User-Agent: twinlock-benchmarks"]
    if "Host" not in headers:
        lines.append(f"Host: localhost:{port}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
