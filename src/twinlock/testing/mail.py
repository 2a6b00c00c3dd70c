"""A mail trap: what an application under test has mailed, and the links in it."""

import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final

from twinlock.app import Twinlock
from twinlock.testing.installation import refuse_production

_LINK: Final = re.compile(r"https?://\S+/[\w-]{20,}(?!\S)")
"""A link with a token; notices also name a page that anybody may look at."""


class MailTrap:
    """Keeps what an instance in development mails; nothing leaves this machine."""

    def __init__(self, instance: Callable[[], Twinlock]) -> None:
        """Watch the instance that *instance* returns, at each call anew."""
        self._instance = instance

    def messages(self, to: str | None = None) -> list[EmailMessage]:
        """Deliver what waits, and return all messages so far, the oldest first.

        Args:
            to: The one address whose messages are wanted; None for all, as below.

        Raises:
            ConfigurationError: The instance is in production.
        """
        auth = self._instance()
        refuse_production(auth.settings)
        auth.runtime.delivery.work()
        files = sorted(
            (auth.settings.data_dir / "mail").glob("*.eml"),
            key=lambda file: file.stat().st_mtime_ns,
        )
        read = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [one for one in read if to is None or one["To"] == to]

    def subjects(self, to: str | None = None) -> list[str]:
        """Return the subjects of all messages so far, the oldest first; *to* one address."""
        return [str(message["Subject"]) for message in self.messages(to)]

    def link(self, to: str | None = None) -> str:
        """Return the link in the newest message that has one; *to* one address.

        Raises:
            LookupError: There is none.
        """
        for message in reversed(self.messages(to)):
            text = message.get_body(("plain",))
            if text is not None and (found := _LINK.search(text.get_content())):
                return found[0]
        raise LookupError("no message with a link was sent")

    def token(self, to: str | None = None) -> str:
        """Return the token of the newest link *to* an address: the last segment of its path.

        Raises:
            LookupError: There is none.
        """
        return self.link(to).rpartition("/")[2]
