"""Keeps the test process off the network: only this machine can be reached."""

import ipaddress
import sys

LOCAL_NAMES = {"", "localhost", "testserver"}


class OutsideNetworkError(RuntimeError):
    """A test tried to reach another machine."""


def forbid_outside_network() -> None:
    """Refuse, from now on, every connection and look-up that leaves this machine.

    An audit hook sees them all, whichever library makes them, as long as it uses Python's
    sockets. Processes that a test starts are their own business.
    """
    sys.addaudithook(_refuse_outside)


def _refuse_outside(event: str, args: tuple[object, ...]) -> None:
    match event, args:
        case (("socket.connect" | "socket.sendto" | "socket.sendmsg"), (_, (host, *_))):
            _require_local(host)
        case (("socket.getaddrinfo" | "socket.gethostbyname"), (host, *_)):
            _require_local(host)
        case _:
            pass


def _require_local(host: object) -> None:
    if not is_local(host):
        msg = f"a test tried to reach {host!r}; tests talk to this machine only"
        raise OutsideNetworkError(msg)


def is_local(host: object) -> bool:
    """Say whether *host* is this machine, as the socket module names it."""
    if host is None:
        return True
    name = host.decode("idna") if isinstance(host, bytes) else str(host)
    if name in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
