"""A client that knows what it was told, and what it can only guess."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import load
from benchmarks.load import Connection, Reply

SECONDS = 30.0


class NotSentError(Exception):
    """Nobody listens: the request has certainly done nothing."""


class UnansweredError(Exception):
    """The request was sent, and whether it did anything is unknown."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Client:
    """Sends requests, each on a connection of its own, as somebody behind a proxy.

    Attributes:
        host: The `Host` that it asks for; the address where there is none.
        ip: Where it says that it is, so that nobody pays for another's wrong passwords.
    """

    address: Address
    ip: str
    host: str = ""

    async def get(self, path: str, *, token: str | None = None) -> Reply:
        return await ask(self.address, load.get(path, token=token, headers=self._headers))

    async def post(self, path: str, value: object, *, token: str | None = None) -> Reply:
        request = load.post_json(path, value, token=token, headers=self._headers)
        return await ask(self.address, request)

    async def form(self, path: str, **fields: str) -> Reply:
        return await ask(self.address, load.post_form(path, fields, headers=self._headers))

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"X-Forwarded-For": self.ip, **({"Host": self.host} if self.host else {})}


async def ask(address: Address, request: bytes, *, seconds: float = SECONDS) -> Reply:
    """Send one request on a connection of its own and return the answer.

    Raises:
        NotSentError: Nobody listens.
        UnansweredError: The connection broke, or nothing came in time.
    """
    connection = await connect(address)
    try:
        return await asyncio.wait_for(connection.request(request), seconds)
    except (OSError, TimeoutError) as error:
        raise UnansweredError from error
    finally:
        connection.close()


async def connect(address: Address) -> Connection:
    """Open a connection.

    Raises:
        NotSentError: Nobody listens.
    """
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(Connection, address.host, address.port)
    except OSError as error:
        raise NotSentError from error
    return connection


def ip_of(number: int) -> str:
    """Return an address for documentation and tests (RFC 2544) that only one person has."""
    return f"198.{18 + number // 65_536}.{number // 256 % 256}.{number % 256}"


def members(reply: Reply) -> dict[str, Any]:
    """Return the answer's JSON object, empty where there is none."""
    found: dict[str, Any] = reply.json() if reply.body else {}
    return found
