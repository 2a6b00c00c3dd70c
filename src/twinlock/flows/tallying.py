"""Counts sign-ins hour by hour, and accounts once an hour, in the background.

An hour is counted once, when it has settled, in one transaction with others of its day; several
processes may do it at once. So nobody who looks at the overview waits for ten million events.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.search import store as search
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.audit.tally import store as tally
from twinlock.audit.tally.store import Tally
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.chaining import SETTLED_AFTER
from twinlock.flows.event_ids import first_id_of, moment_of
from twinlock.flows.parts import Parts

HOUR: Final = timedelta(hours=1)
DAYS: Final = 14
SIGNED_IN: Final = (EventType.LOGIN_SUCCEEDED,)
DENIED: Final = (EventType.LOGIN_DENIED, EventType.LOGIN_THROTTLED)
COUNTED: Final = (*SIGNED_IN, *DENIED)
ACCOUNTS: Final = "accounts"
HOLDERS: Final = "accounts.with_factor"
_EVERYTHING: Final = 2**31 - 1
_BEGINNING: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of the hour of a moment."""
    return moment.replace(minute=0, second=0, microsecond=0)


def count_hours(parts: Parts, *, now: datetime, pause: Callable[[], bool] = lambda: False) -> int:
    """Count what has settled since it was counted last; return how many hours that were.

    Args:
        parts: The installation.
        now: The present moment.
        pause: Called after each transaction; returns whether to stop early.

    Raises:
        DatabaseUnavailableError: The database refused, or did not answer in time.
    """
    end = hour_of(now - SETTLED_AFTER)
    hour = parts.database.reading(_first_uncounted, end=end)
    hours = 0
    while hour < end:
        until = min(hour + timedelta(days=1), end)
        counted = parts.database.reading(_count_events, hour, until)
        parts.database.transaction(tally.insert_tallies, counted)
        hours += (until - hour) // HOUR
        hour = until
        if pause():
            return hours
    if hours and parts.accounts.are_ours:
        population = parts.database.reading(_count_accounts, end)
        parts.database.transaction(tally.insert_tallies, population)
    return hours


def _first_uncounted(db: Connection, *, end: datetime) -> datetime:
    earliest = end - timedelta(days=DAYS)
    last = tally.last_hour(db, EventType.LOGIN_SUCCEEDED)
    if last is not None:
        return max(last + HOUR, earliest)
    oldest = moment_of(audit.oldest_id(db) or "")
    return earliest if oldest is None else max(hour_of(oldest), earliest)


def _count_events(db: Connection, first: datetime, until: datetime) -> list[Tally]:
    counted = []
    for number in range((until - first) // HOUR):
        hour = first + number * HOUR
        span = {"first": first_id_of(hour), "before": first_id_of(hour + HOUR)}
        for type_ in COUNTED:
            events = audit.count_of_type(db, type_, **span, limit=_EVERYTHING)
            counted.append(Tally(type_, hour, events))
    return counted


def _count_accounts(db: Connection, hour: datetime) -> list[Tally]:
    accounts = search.count_created(db, since=_BEGINNING, limit=_EVERYTHING)
    holders = authenticators.count_holders(db, limit=_EVERYTHING)
    return [Tally(ACCOUNTS, hour, accounts), Tally(HOLDERS, hour, holders)]
