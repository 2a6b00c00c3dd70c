"""Clearing away what has expired: in the background, in small transactions with pauses.

Nothing depends on it: what has expired is refused by its own row. It keeps tables small.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.audit import store as audit
from twinlock.audit.tally import store as tally
from twinlock.devices import store as devices
from twinlock.flows.parts import Parts
from twinlock.mail import store as outbox
from twinlock.pending import store as pending
from twinlock.sessions import store as sessions
from twinlock.throttle import store as throttle
from twinlock.throttle.familiar import store as familiar

BATCH: Final = 200
"""Rows of one transaction: few enough that nobody who waits for it notices."""

KEEP_ENDED: Final = timedelta(days=7)
"""How long a session that was ended keeps its row."""

KEEP_MAILS: Final = timedelta(days=7)
"""How long it is remembered that a mail was sent; what it said is gone when it is delivered."""

KEEP_UNDELIVERED: Final = timedelta(hours=1)
"""How long after its time the worker that gives a mail up may come late."""

Expire = Callable[..., int]


def clean_up(
    parts: Parts,
    *,
    keep_events: timedelta,
    now: datetime,
    pause: Callable[[], bool],
    batch: int = BATCH,
) -> Mapping[str, int]:
    """Delete what has expired and return how many rows of each kind that were.

    Several processes may do it at once: each row is deleted by one of them.

    Args:
        parts: The installation.
        keep_events: How long audit events are kept.
        now: The present moment.
        pause: Called between two transactions, so that others get their turn; returns whether
            to stop early.
        batch: Rows of one transaction.

    Raises:
        DatabaseUnavailableError: The database refused, or did not answer in time.
    """
    kinds: dict[str, Expire] = {
        "pending": partial(pending.expire, now=now),
        "sessions": partial(sessions.expire, now=now),
        "devices": partial(devices.expire, now=now),
        "ended_sessions": partial(sessions.expire_ended, before=now - KEEP_ENDED),
        "mails_wiped": partial(outbox.wipe_expired, before=now - KEEP_UNDELIVERED),
        "mails": partial(outbox.expire, before=now - KEEP_MAILS),
        "counts": partial(throttle.expire, now=now),
        "familiar": partial(familiar.expire, lifetimes=parts.throttle.familiar_for, now=now),
        "tallies": partial(tally.expire, older_than=now - keep_events),
        "events": partial(audit.expire, older_than=now - keep_events),
    }
    deleted = dict.fromkeys(kinds, 0)
    for kind, expire in kinds.items():
        while True:
            count = parts.database.transaction(_expire, expire, batch)
            deleted[kind] += count
            if pause():
                return deleted
            if count < batch:
                break
    return deleted


def count_schemes(parts: Parts) -> Mapping[str, int]:
    """Return how many accounts hold password hashes of each scheme and cost."""
    return parts.database.reading(accounts.count_schemes)


def _expire(tx: Connection, expire: Expire, limit: int) -> int:
    return expire(tx, limit=limit)
