"""The authenticator that users' own test suites hold in their hands."""

from datetime import UTC, datetime

import pytest

from twinlock.factors.totp import otpauth, rfc6238
from twinlock.testing.authenticator import FakeAuthenticator

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = b"12345678901234567890"
OTHER_KEY = b"another key, as long"


def uri_of(key: bytes, params: rfc6238.Params = rfc6238.DEFAULTS) -> str:
    return otpauth.provisioning_uri(key, issuer="ACME", account_name="alice", params=params)


def test_it_shows_the_codes_of_what_it_scanned() -> None:
    """RFC 6238 appendix B, the first row."""
    params = rfc6238.Params(digits=8)

    authenticator = FakeAuthenticator.from_uri(uri_of(KEY, params))

    assert authenticator.code(datetime.fromtimestamp(59, UTC)) == "94287082"


def test_it_shows_the_codes_of_what_it_scanned_last() -> None:
    authenticator = FakeAuthenticator.from_uri(uri_of(KEY))

    authenticator.scan(uri_of(OTHER_KEY))

    assert authenticator.code(at=NOW) == rfc6238.totp(OTHER_KEY, at=NOW)


def test_it_refuses_what_an_app_could_not_read() -> None:
    with pytest.raises(ValueError, match="secret_missing"):
        FakeAuthenticator.from_uri("otpauth://totp/ACME:alice")


def test_it_says_that_it_has_scanned_nothing() -> None:
    with pytest.raises(LookupError, match="scanned nothing"):
        FakeAuthenticator().code(at=NOW)
