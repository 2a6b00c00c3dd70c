"""What an installation sends mail with; it has none where no mail server is set."""

from dataclasses import dataclass

from twinlock.mail.letters import Letterhead
from twinlock.mail.transport import Transport


@dataclass(frozen=True, slots=True)
class MailOffice:
    """A way out, and what stands on every letter."""

    transport: Transport
    letterhead: Letterhead
