"""How a message leaves this machine: by SMTP, or in development into a folder."""

import asyncio
import logging
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from twinlock.core.errors import ConfigurationError, TwinlockError

log = logging.getLogger("twinlock.mail")

_SECONDS: Final = 20.0
"""For each exchange with the server."""
_SECONDS_IN_ALL: Final = 60.0
_PORTS: Final = {"smtp": 587, "smtps": 465}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_PERMANENT: Final = 500
_FIRST_LINK: Final = re.compile(r"https?://\S+")


class MailError(TwinlockError):
    """A message was not taken; it may be at the next attempt."""


class MailRefusedError(MailError):
    """A message was refused for good."""


class Transport(Protocol):
    """Takes messages away; used by several threads."""

    def send(self, message: EmailMessage) -> None:
        """Hand *message* over.

        Raises:
            MailRefusedError: It will never be taken.
            MailError: It was not taken now.
        """
        ...


class SmtpTransport:
    """A mail server. The connection is encrypted, but to one on this machine."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: ``smtps://…`` (TLS from the first byte) or ``smtp://…`` (STARTTLS, demanded but
                on this machine), user and password included.

        Raises:
            ConfigurationError: The extra ``mail`` is not installed, or the URL is no URL.
        """
        try:
            import aiosmtplib  # noqa: F401 - missing it now is better than at the first mail
        except ImportError as error:
            raise ConfigurationError(
                "TWINLOCK_SMTP_URL is set, and mail needs more: pip install 'twinlock[mail]'"
            ) from error
        try:
            parts = urlsplit(url)
            self._port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise ConfigurationError("TWINLOCK_SMTP_URL is not the URL of a mail server") from error
        self._host = parts.hostname or ""
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._is_tls = parts.scheme == "smtps"

    def __repr__(self) -> str:
        return f"SmtpTransport({self._host}:{self._port})"

    def send(self, message: EmailMessage) -> None:
        """Hand *message* over, on a connection of its own."""
        import aiosmtplib

        start_tls = None if self._is_tls or self._host in _LOOPBACK else True
        sending = aiosmtplib.send(
            message,
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._is_tls,
            start_tls=False if self._is_tls else start_tls,
            timeout=_SECONDS,
        )
        try:
            asyncio.run(asyncio.wait_for(sending, _SECONDS_IN_ALL))
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            raise _failure(min(codes, default=0), error) from error
        except aiosmtplib.SMTPResponseException as error:
            is_about_us = isinstance(error, aiosmtplib.SMTPAuthenticationError)
            raise _failure(0 if is_about_us else error.code, error) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailError(type(error).__name__) from error
        except ValueError as error:  # an address that this server cannot be told
            raise MailRefusedError(type(error).__name__) from error


class FolderTransport:
    """A folder of this machine, for development: one ``.eml`` file a message."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"FolderTransport({self._folder})"

    def send(self, message: EmailMessage) -> None:
        """Write *message* into a file of its own, whole or not at all."""
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        path = self._folder / f"{name}.eml"
        part = path.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.touch(mode=0o600)
            part.write_bytes(message.as_bytes())
            part.replace(path)
        except OSError as error:
            raise MailError(type(error).__name__) from error
        text = message.get_body(("plain",))
        link = _FIRST_LINK.search(text.get_content()) if text else None
        found = {"link": link[0]} if link else {}
        log.info("mail_written", extra={"file": str(path), "to": str(message["To"]), **found})


def _failure(code: int, error: Exception) -> MailError:
    kind = MailRefusedError if code >= _PERMANENT else MailError
    return kind(f"{type(error).__name__} {code}" if code else type(error).__name__)
