"""What was mailed, where several processes deliver."""

import time
from email.message import EmailMessage
from typing import Final

from tests.support.house import House
from twinlock.mail import store as outbox
from twinlock.testing.mail import MailTrap

WAIT_SECONDS: Final = 60


class EveryMail(MailTrap):
    """A trap that waits for the mails that other processes have claimed and not yet written."""

    def __init__(self, house: House) -> None:
        super().__init__(lambda: house.auth)
        self._house = house

    def messages(self, to: str | None = None) -> list[EmailMessage]:
        """Return all messages, once none waits in the outbox.

        Raises:
            TimeoutError: Some still wait.
        """
        until = time.monotonic() + WAIT_SECONDS
        while self._house.database.reading(outbox.count_waiting).mails:
            if time.monotonic() > until:
                raise TimeoutError("a mail is not delivered")
            self._house.runtime.delivery.work()
        return super().messages(to)
