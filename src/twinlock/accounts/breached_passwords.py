"""Asking a service whether a password was seen in a breach, without telling it the password.

The service is told five of the forty characters of the password's SHA-1, and answers with the
other thirty-five of all that it knows to begin so: k-anonymity, as *Pwned Passwords* does it. The
padding that is asked for hides how many there are. SHA-1 protects nothing here; it is how the
service files what everybody can read (ASVS 5.0 6.2.12).
"""

import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # loaded where a service is asked, which most never do
    from urllib.request import OpenerDirector

SECONDS: Final = 2
"""How long one answer of the service is waited for."""
_PREFIX: Final = 5
_LARGEST: Final = 1024 * 1024
_HEADERS: Final = {"Add-Padding": "true", "User-Agent": "twinlock", "Accept": "text/plain"}


class BreachServiceError(Exception):
    """The service gave no answer that could be read."""


class BreachService:
    """A service of breached passwords, such as ``https://api.pwnedpasswords.com/range``."""

    def __init__(self, range_url: str) -> None:
        """Ask at *range_url*, to which a slash and a prefix are added."""
        self._url = range_url
        self._opener = _opener()

    def knows(self, password: str) -> bool:
        """Tell whether the service has seen a password.

        Raises:
            BreachServiceError: It cannot be told.
        """
        digest = hashlib.sha1(
            password.encode("utf-8", "surrogatepass"), usedforsecurity=False
        ).hexdigest()
        prefix, rest = digest[:_PREFIX].upper(), digest[_PREFIX:].upper()
        return rest in self._suffixes(prefix)

    def _suffixes(self, prefix: str) -> set[str]:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import Request

        request = Request(f"{self._url}/{prefix}", headers=_HEADERS)  # noqa: S310 - https, checked
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                status, body = answer.status, answer.read(_LARGEST + 1)
        except HTTPError as refused:
            refused.close()
            raise BreachServiceError(f"status {refused.code}") from refused
        except (OSError, ValueError, HTTPException) as error:
            raise BreachServiceError(type(error).__name__) from error
        if status != HTTPStatus.OK or len(body) > _LARGEST:
            raise BreachServiceError(f"status {status}, {len(body)} bytes")
        return _seen(body.decode("ascii", "replace"))


def _opener() -> "OpenerDirector":
    """Return an opener of URLs that treats a redirect as an error.

    The operator trusts the service that the setting names, and no other that it leads to.
    """
    from urllib.request import HTTPRedirectHandler, build_opener

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Follow none."""

    return build_opener(NoRedirects)


def _seen(body: str) -> set[str]:
    """Return the suffixes that were seen at least once; padding was seen never."""
    lines = (line.strip().partition(":") for line in body.splitlines())
    return {suffix.upper() for suffix, _, count in lines if count.strip().lstrip("0")}
