"""Fetching the keys that a login server elsewhere publishes: one bounded GET, no second guess."""

import json
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from joserfc.jwk import ECKey

from twinlock.core.clock import monotonic
from twinlock.core.errors import ConfigurationError, KeysUnavailableError
from twinlock.tokens.signing_keys import verification_keys

if TYPE_CHECKING:
    import httpx2

MAX_BYTES: Final = 65_536
TIMEOUT: Final = timedelta(seconds=5)
"""How long each part of a fetch may take, and about how long all of it may."""

_MISSING: Final = "verifying tokens needs httpx2: pip install 'twinlock[verifier]'"


def jwks_url(issuer: str, *, prefix: str, environment: Literal["production", "development"]) -> str:
    """Return where *issuer* publishes its keys.

    Args:
        issuer: The login server's base URL, as its tokens name it.
        prefix: Where below it the routes are; empty, or a path that begins with a slash.
        environment: In production, keys come over https, or from this machine.

    Raises:
        ConfigurationError: It is no address that keys may come from.
    """
    try:
        parts = urlsplit(issuer)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigurationError(f"issuer: {error}") from error
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        raise ConfigurationError("issuer should be an address such as https://login.example.com")
    if parts.query or parts.fragment or parts.username is not None or issuer.endswith(("?", "#")):
        raise ConfigurationError("issuer should have no query, fragment or user name")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or set(prefix) & set("?#")):
        raise ConfigurationError("prefix should be a path such as /auth")
    if parts.scheme == "http" and environment == "production" and not _is_this_machine(host):
        raise ConfigurationError(
            "issuer should begin with https: whoever sits on the line could give their own keys "
            "(for tests between machines: environment='development')"
        )
    return f"{issuer.rstrip('/')}{prefix}/.well-known/jwks.json"


def require_client() -> None:
    """Make sure that keys can be fetched at all.

    Raises:
        ConfigurationError: The HTTP client is not installed.
    """
    if find_spec("httpx2") is None:
        raise ConfigurationError(_MISSING)


def fetch_keys(url: str) -> Mapping[str, ECKey]:
    """Return the keys that can verify our tokens, by key id; there is at least one.

    Redirects are not followed: they would lead away from the address that was checked.

    Raises:
        KeysUnavailableError: The answer is late, too long, or none that holds such a key.
    """
    import httpx2

    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
    }
    until = monotonic() + TIMEOUT.total_seconds()
    try:
        with (
            httpx2.Client(timeout=TIMEOUT.total_seconds(), follow_redirects=False) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise KeysUnavailableError(f"{url} answered {response.status_code}")
            document = json.loads(_body(response, url, until=until))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise KeysUnavailableError(f"{url}: {type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise KeysUnavailableError(f"{url} answered no JSON") from error
    keys = verification_keys(document)
    if not keys:
        raise KeysUnavailableError(f"{url} holds no key that verifies ES256")
    return keys


def _body(response: "httpx2.Response", url: str, *, until: float) -> bytes:
    """Return the body as it came: compressed ones were not asked for, and could swell.

    Raises:
        KeysUnavailableError: It is too long, or trickles in.
    """
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeysUnavailableError(f"{url} answered more than {MAX_BYTES} bytes")
        if monotonic() > until:
            raise KeysUnavailableError(f"{url} answers too slowly")
    return bytes(body)


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
