"""What an operator has to know of an installation: read by ``doctor`` and by the metrics."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.flows.parts import Parts
from twinlock.installation import store as installation
from twinlock.mail import store as outbox
from twinlock.tokens import store as signing_keys

OUTBOX_TOLERANCE: Final = timedelta(minutes=10)
"""How long a mail may wait before somebody has to look."""
SIGNING_KEY_TOLERANCE: Final = timedelta(days=400)
"""How old the signing key may grow: `Keys and backups` says once a year."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is the case now, each read by an index or from a table of a few rows.

    Attributes:
        admins: Enabled accounts with the role ``admin``; None where accounts are a host's.
        mails_waiting: Mails that are not delivered yet.
        mail_waits: How long the oldest of them has been waiting.
        signing_key_age: How long the key has been signing; None before the first token.
        master_keys: How many the installation knows.
        is_rotation_unfinished: Whether something may lie under an older master key.
    """

    admins: int | None
    mails_waiting: int
    mail_waits: timedelta
    signing_key_age: timedelta | None
    master_keys: int
    is_rotation_unfinished: bool


def read_signals(parts: Parts) -> Signals:
    """Return what is the case now.

    Raises:
        DatabaseUnavailableError: The database refused, or did not answer in time.
    """
    parts.keyring.look_again()
    return parts.database.reading(_read, parts, now=parts.clock())


def _read(db: Connection, parts: Parts, *, now: datetime) -> Signals:
    waiting = outbox.count_waiting(db)
    key = signing_keys.get_active(db)
    row = installation.get_installation(db)
    return Signals(
        admins=accounts.count_admins(db) if parts.accounts.are_ours else None,
        mails_waiting=waiting.mails,
        mail_waits=timedelta(0) if waiting.oldest is None else now - waiting.oldest,
        signing_key_age=None if key is None else now - key.created_at,
        master_keys=len(parts.keyring.ids),
        is_rotation_unfinished=row is not None and parts.keyring.is_stale_seal(row.key_check),
    )
