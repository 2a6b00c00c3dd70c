"""Who is on the other end: the client's address, through configured proxies only."""

import functools
import ipaddress
from collections.abc import Sequence

from starlette.requests import HTTPConnection

from twinlock.audit.events import Caller

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_USER_AGENT = 255


def client_address(connection: HTTPConnection, trusted: Sequence[Network]) -> str | None:
    """Return the client's address: the rightmost hop that is not a trusted proxy.

    Forwarding headers count only when the peer is a configured proxy; a hop that is no
    address falls back to the peer.
    """
    peer = _address(connection.client.host) if connection.client else None
    if peer is None:
        return None
    if not trusted or not _is_in(peer, trusted):
        return str(peer)
    found = peer
    for claimed in reversed(_claimed_hops(connection)):
        hop = _address(claimed)
        if hop is None:
            return str(peer)
        found = hop
        if not _is_in(hop, trusted):
            break
    return str(found)


def caller_of(
    connection: HTTPConnection, trusted: Sequence[Network], *, known_browser: str | None
) -> Caller:
    """Return where a request came from, for counting and for the audit log."""
    headers = connection.headers
    agent = headers.get("user-agent")
    return Caller(
        ip=client_address(connection, trusted),
        user_agent=_printable(agent) if agent else None,
        is_browser="origin" in headers or "sec-fetch-site" in headers,
        known_browser=known_browser,
    )


def _claimed_hops(connection: HTTPConnection) -> list[str]:
    values = connection.headers.getlist("x-forwarded-for")
    return [hop.strip() for value in values for hop in value.split(",")]


@functools.lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]").split("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _printable(text: str) -> str:
    """Return text from a header without what could forge a line of a log."""
    kept = "".join(character if character.isprintable() else " " for character in text)
    return kept[:_MAX_USER_AGENT]
