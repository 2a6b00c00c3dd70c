"""An authenticator for test suites: it scans what an enrollment shows and makes the answers."""

from datetime import datetime

from twinlock.factors.totp import otpauth, rfc6238


class FakeAuthenticator:
    """The authenticator app of a person in a test.

    Example:
        ``code = FakeAuthenticator.from_uri(options["uri"]).code(at=now)``
    """

    def __init__(self) -> None:
        self._scanned: list[otpauth.Parsed] = []

    @classmethod
    def from_uri(cls, uri: str) -> "FakeAuthenticator":
        """Return an app that has scanned one QR code.

        Raises:
            ValueError: An app could not read *uri*.
        """
        authenticator = cls()
        authenticator.scan(uri)
        return authenticator

    def scan(self, uri: str) -> None:
        """Add the ``otpauth`` URI of a QR code; `code` then shows its codes.

        Raises:
            ValueError: An app could not read *uri*.
        """
        match otpauth.parse_uri(uri):
            case otpauth.Parsed() as parsed:
                self._scanned.append(parsed)
            case problem:
                raise ValueError(f"not an otpauth URI of TOTP: {problem}")

    def code(self, at: datetime) -> str:
        """Return the code that the app shows at a moment for what was scanned last.

        Raises:
            LookupError: Nothing was scanned yet.
        """
        if not self._scanned:
            raise LookupError("this authenticator has scanned nothing yet")
        newest = self._scanned[-1]
        return rfc6238.totp(newest.key, at=at, params=newest.params)
