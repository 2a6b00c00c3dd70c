"""Keys come from the one address that was checked, bounded, or not at all."""

import gzip
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import pytest

from tests.support.login_server import Answer, LoginServer, serving
from twinlock.core.errors import ConfigurationError, KeysUnavailableError
from twinlock.tokens import jwks

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PATH = "/.well-known/jwks.json"


@pytest.fixture
def server() -> Iterator[LoginServer]:
    with serving(now=NOW) as server:
        yield server


@pytest.mark.parametrize(
    "issuer, prefix, expected",
    [
        ("https://login.example.com", "", f"https://login.example.com{PATH}"),
        ("https://login.example.com/", "", f"https://login.example.com{PATH}"),
        ("https://example.com/realm", "/auth", f"https://example.com/realm/auth{PATH}"),
        ("http://localhost:8000", "", f"http://localhost:8000{PATH}"),
        ("http://login.localhost", "", f"http://login.localhost{PATH}"),
        ("http://127.0.0.2", "", f"http://127.0.0.2{PATH}"),
        ("http://[::1]:8000", "", f"http://[::1]:8000{PATH}"),
    ],
)
def test_keys_are_below_the_issuer(issuer: str, prefix: str, expected: str) -> None:
    assert jwks.jwks_url(issuer, prefix=prefix, environment="production") == expected


@pytest.mark.parametrize(
    "issuer, prefix",
    [
        ("http://login.example.com", ""),
        ("http://localhost.example.com", ""),
        ("http://10.0.0.1", ""),
        ("http://[::2]", ""),
        ("ftp://localhost", ""),
        ("login.example.com", ""),
        ("https://", ""),
        ("https://login.example.com:99999", ""),
        ("https://user:secret@login.example.com", ""),
        ("https://login.example.com?x=1", ""),
        ("https://login.example.com#x", ""),
        ("https://login.example.com", "auth"),
        ("https://login.example.com", "/auth/"),
        ("https://login.example.com", "/auth?x"),
    ],
)
def test_other_addresses_are_refused(issuer: str, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"issuer|prefix"):
        jwks.jwks_url(issuer, prefix=prefix, environment="production")


@pytest.mark.parametrize("environment", ["development"])
def test_development_takes_keys_without_tls(
    environment: Literal["production", "development"],
) -> None:
    url = jwks.jwks_url("http://login:8000", prefix="", environment=environment)

    assert url == f"http://login:8000{PATH}"


def test_a_missing_client_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.delitem(sys.modules, "httpx2", raising=False)

    with pytest.raises(ConfigurationError, match=r"pip install 'twinlock\[verifier\]'"):
        jwks.require_client()


def test_what_is_published_verifies(server: LoginServer) -> None:
    keys = jwks.fetch_keys(server.url + PATH)

    assert {key.alg for key in keys.values()} == {"ES256"}
    assert server.paths == [PATH]


def padded(size: int) -> bytes:
    """Return a JWK Set of exactly *size* bytes without a key in it."""
    return json.dumps({"keys": [], "pad": ""}).encode().ljust(size)


@pytest.mark.parametrize(
    "answer, reason",
    [
        (Answer(b"{}", status=500), "answered 500"),
        (Answer(b"{}", status=204), "answered 204"),
        (Answer(b"", status=302, headers={"Location": PATH}), "answered 302"),
        (Answer(b"<html>"), "no JSON"),
        (Answer(b"[" * 60_000), "no JSON"),
        (Answer(b"\xff\xfe"), "no JSON"),
        (Answer(b""), "no JSON"),
        (Answer(b"null"), "no key"),
        (Answer(b'{"keys": []}'), "no key"),
        (Answer(b'{"keys": [{"kty": "oct", "kid": "x", "k": "AAAA"}]}'), "no key"),
        (Answer(padded(jwks.MAX_BYTES)), "no key"),
        (Answer(padded(jwks.MAX_BYTES + 1)), "more than"),
        (Answer(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), "no JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_no_keys(server: LoginServer, answer: Answer, reason: str) -> None:
    server.broken = answer

    with pytest.raises(KeysUnavailableError, match=reason):
        jwks.fetch_keys(server.url + PATH)


def test_a_server_that_is_not_there_is_no_keys(server: LoginServer) -> None:
    with pytest.raises(KeysUnavailableError, match="Error"):
        jwks.fetch_keys("http://127.0.0.1:1" + PATH)
