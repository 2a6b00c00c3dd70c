"""The figures of an installation: cheap to read among a million accounts and ten million events.

Small numbers are counted on the spot, along an index and never past a limit; what is larger is
what the upkeep counted within the last hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.search import store as search
from twinlock.audit import store as audit
from twinlock.audit.events import EventType
from twinlock.audit.tally import store as tally
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.event_ids import first_id_of
from twinlock.flows.parts import Parts
from twinlock.flows.tallying import ACCOUNTS, DAYS, DENIED, HOLDERS, HOUR, SIGNED_IN

COUNTED_AT_ONCE: Final = 10_000
"""Up to here one counts while somebody waits; it takes a few milliseconds."""
_WEEK: Final = 7
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Count:
    """A number.

    Attributes:
        at: When it was counted; None for just now.
        is_floor: Whether there may be more.
    """

    number: int
    at: datetime | None = None
    is_floor: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """Sign-ins of one day, in UTC.

    Attributes:
        is_over: False for today.
        is_floor: Whether there may be more.
    """

    date: date
    signed_in: int
    denied: int
    is_over: bool
    is_floor: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What the overview shows in numbers; the days from the oldest to today."""

    accounts: Count
    with_factor: Count
    new_accounts: Count
    days: Sequence[Day]

    @property
    def week(self) -> Sequence[Day]:
        """The last seven days."""
        return self.days[-_WEEK:]

    @property
    def signed_in(self) -> int:
        """Sign-ins of the last seven days."""
        return sum(day.signed_in for day in self.week)

    @property
    def denied(self) -> int:
        """Denied tries of the last seven days."""
        return sum(day.denied for day in self.week)

    @property
    def denied_share(self) -> float:
        """How many of all tries of the last seven days were denied."""
        tries = self.signed_in + self.denied
        return self.denied / tries if tries else 0.0

    @property
    def share(self) -> float:
        """How many of all accounts have a second factor."""
        if not self.accounts.number:
            return 0.0
        return min(1.0, self.with_factor.number / self.accounts.number)

    @property
    def peak(self) -> Day:
        """The day with the most denials."""
        return max(self.days, key=lambda day: day.denied)


def read_figures(parts: Parts, *, now: datetime) -> Figures:
    """Return the figures of now."""
    return parts.database.reading(_read, now=now)


def _read(db: Connection, *, now: datetime) -> Figures:
    created = search.count_created(db, since=now - timedelta(days=_WEEK), limit=COUNTED_AT_ONCE)
    accounts, holders = read_population(db)
    return Figures(
        accounts=accounts,
        with_factor=holders,
        new_accounts=Count(created, is_floor=created == COUNTED_AT_ONCE),
        days=_days(db, now=now),
    )


def read_population(db: Connection) -> tuple[Count, Count]:
    """Return how many accounts there are, and how many have a second factor."""
    everybody = search.count_created(db, since=_BEGINNING, limit=COUNTED_AT_ONCE + 1)
    if everybody > COUNTED_AT_ONCE:
        return _counted(db, ACCOUNTS), _counted(db, HOLDERS)
    return Count(everybody), Count(authenticators.count_holders(db, limit=COUNTED_AT_ONCE))


def _counted(db: Connection, kind: str) -> Count:
    """Return what the upkeep counted; before its first time, no more than one knows."""
    newest = tally.newest(db, kind)
    if newest is None:
        return Count(COUNTED_AT_ONCE if kind == ACCOUNTS else 0, is_floor=True)
    return Count(newest.number, at=newest.hour)


def _days(db: Connection, *, now: datetime) -> list[Day]:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=DAYS - 1)
    last = tally.last_hour(db, EventType.LOGIN_SUCCEEDED)
    settled = first if last is None else last + HOUR
    signed_in = _per_day(db, SIGNED_IN, first, settled, now=now)
    denied = _per_day(db, DENIED, first, settled, now=now)
    days = []
    for number in range(DAYS):
        day = (first + timedelta(days=number)).date()
        ins, outs = signed_in[day], denied[day]
        floor = ins.is_floor or outs.is_floor
        days.append(Day(day, ins.number, outs.number, day != midnight.date(), floor))
    return days


def _per_day(
    db: Connection,
    types: Sequence[EventType],
    first: datetime,
    settled: datetime,
    *,
    now: datetime,
) -> dict[date, Count]:
    """Add up the hours that were counted, and count what came after them."""
    sums = {(first + timedelta(days=number)).date(): Count(0) for number in range(DAYS)}

    def add(moment: datetime, number: int, *, is_floor: bool = False) -> None:
        old = sums[moment.date()]
        sums[moment.date()] = Count(old.number + number, None, old.is_floor or is_floor)

    for type_ in types:
        for hour, number in tally.list_tallies(db, type_, since=first).items():
            add(hour, number)
        begin = max(settled, first)
        while begin <= now:
            midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
            end = min(midnight + timedelta(days=1), now + HOUR)
            span = {"first": first_id_of(begin), "before": first_id_of(end)}
            number = audit.count_of_type(db, type_, **span, limit=COUNTED_AT_ONCE)
            add(begin, number, is_floor=number == COUNTED_AT_ONCE)
            begin = end
    return sums
