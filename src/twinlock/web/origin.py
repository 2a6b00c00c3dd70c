"""Our own origin, the only one from which a browser may act with our cookies or sign in."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class OwnOrigin:
    """The base URL's origin, and what a browser must say to count as being on it.

    A base URL on this machine has three names (``localhost``, ``127.0.0.1``, ``[::1]``) that
    nobody else can answer to: each counts.

    Attributes:
        name: The origin, as the base URL has it.
    """

    def __init__(self, base_url: str, *, other_origins: Iterable[str]) -> None:
        """Take *base_url* as ours.

        Args:
            other_origins: Origins whose pages may call the API, without cookies.
        """
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        names = _LOOPBACK_NAMES if host in {"localhost", "127.0.0.1", "::1"} else (_spelt(host),)
        suffix = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
        hosts = frozenset(name + suffix for name in names)
        default = _DEFAULT_PORTS.get(parts.scheme)
        self.name = f"{parts.scheme}://{_spelt(host)}{suffix}"
        self._hosts = hosts if suffix else hosts | {f"{name}:{default}" for name in names}
        self._own = frozenset(f"{parts.scheme}://{host}" for host in hosts)
        self._others = frozenset(other_origins)

    def is_asked(self, headers: Headers) -> bool:
        """Tell whether a request's one ``Host`` header names us (RFC 9112 section 3.2)."""
        hosts = headers.getlist("host")
        return len(hosts) == 1 and hosts[0].lower() in self._hosts

    def is_cross_site(self, connection: HTTPConnection, *, has_cookie: bool) -> bool:
        """Tell whether a browser sent this from a page that may not.

        A request without ``Origin`` and without ``Sec-Fetch-Site`` is from no browser: it can
        carry nobody's cookies by accident, and passes unless it has one.
        """
        origin = connection.headers.get("origin")
        if origin is not None:
            return origin not in self._own and (has_cookie or origin not in self._others)
        site = connection.headers.get("sec-fetch-site")
        if site is None:
            return has_cookie
        return site != "same-origin"

    def is_guest(self, connection: HTTPConnection) -> bool:
        """Tell whether a page of a listed origin sent this: it may call us without cookies."""
        return connection.headers.get("origin") in self._others - self._own


def _spelt(host: str) -> str:
    return f"[{host}]" if ":" in host else host
