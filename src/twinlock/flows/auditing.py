"""Reading the audit log: for an operator, page by page, or as a whole."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.accounts.directory import Account
from twinlock.audit import store as audit
from twinlock.audit.chain import store as chain
from twinlock.audit.events import EventType
from twinlock.audit.store import NEWEST
from twinlock.core.proof import SubjectId
from twinlock.flows.event_ids import first_id_of
from twinlock.flows.parts import Parts

DENIALS: Final = (
    EventType.LOGIN_DENIED,
    EventType.LOGIN_THROTTLED,
    EventType.REAUTHENTICATION_DENIED,
    EventType.PASSWORD_CHANGE_DENIED,
    EventType.FACTOR_ENROLLMENT_DENIED,
)
"""What was asked for and refused."""
SUCCESSES: Final = (
    EventType.LOGIN_SUCCEEDED,
    EventType.REAUTHENTICATION_SUCCEEDED,
    EventType.PASSWORD_CHANGED,
    EventType.FACTOR_ENROLLED,
)
"""What was asked for and given, to compare with the denials."""
_SUBJECT: Final = re.compile(r"[0-9a-f]{32}")
_AT_ONCE: Final = 500
_CHUNKS: Final = 4


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, the newest first.

    Attributes:
        usernames: Those of the events' subjects, as far as their accounts exist.
        next_cursor: The event after which the list goes on; None at its end.
        looked_at: How many events were looked at where the search for an address stopped before
            the page was full; None where it did not.
    """

    events: Sequence[Row[Any]]
    usernames: Mapping[str, str]
    next_cursor: str | None
    looked_at: int | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are looked for; whatever is empty is any.

    Attributes:
        user: A login name, or the ``sub`` of an account.
        types: Any of these.
        since: The moment of the oldest.
        until: The moment before which the newest lies.
        network: Where they came from: an address, or a network of addresses.
    """

    user: str = ""
    types: tuple[EventType, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    network: IPv4Network | IPv6Network | None = None


def find_events(
    parts: Parts, wanted: EventFilter, *, before: str = NEWEST, limit: int
) -> EventPage | None:
    """Return a page of the events that are looked for; None when the user names no account.

    Each type is read along its own index, so that a page costs the same among ten events and
    among ten million.
    """
    return parts.database.reading(_find, parts, wanted, before=before, limit=limit)


def list_events(
    parts: Parts,
    *,
    user: str | None = None,
    type_: EventType | None = None,
    since: datetime | None = None,
    before: str = NEWEST,
    limit: int,
) -> EventPage | None:
    """Return a page of events; None when *user* names no account.

    Args:
        parts: The installation.
        user: A login name, or the ``sub`` of an account, which may be deleted by now.
        type_: The one type wanted.
        since: The moment of the oldest event wanted.
        before: Cursor of the page before.
        limit: How many at most.
    """
    return parts.database.reading(
        _list, parts, user=user, type_=type_, since=since, before=before, limit=limit
    )


def export_events(parts: Parts, *, since: datetime | None) -> Iterator[Row[Any]]:
    """Give every event since a moment, the oldest first, in short reads."""
    after = first_id_of(since) if since else ""
    while rows := parts.database.reading(
        chain.list_events, after=after, before=NEWEST, limit=_AT_ONCE
    ):
        yield from rows
        after = rows[-1].id


def count_events(parts: Parts, *, since: datetime | None) -> int:
    """Return how many events there are since a moment."""
    after = first_id_of(since) if since else ""
    return parts.database.reading(chain.count_events, after=after)


def get_account(parts: Parts, subject: SubjectId) -> Account | None:
    """Return the account that an event is about, as it is now; None when it is gone."""
    return parts.database.reading(parts.accounts.get, subject)


def _find(
    db: Connection, parts: Parts, wanted: EventFilter, *, before: str, limit: int
) -> EventPage | None:
    subject = None
    if wanted.user:
        subject = _find_subject(db, parts, wanted.user)
        if subject is None:
            return None
    if wanted.until is not None:
        before = min(before, first_id_of(wanted.until))
    if wanted.network is not None:
        return _from_network(db, parts, wanted, wanted.network, subject, before, limit=limit)
    rows = _rows(db, wanted, subject, before, limit=limit)
    return _page(db, parts, rows, since=wanted.since, limit=limit)


def _rows(
    db: Connection, wanted: EventFilter, subject: SubjectId | None, before: str, *, limit: int
) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for type_ in wanted.types or (None,):
        rows += audit.list_events(db, limit=limit, before=before, subject=subject, type_=type_)
    return sorted(rows, key=lambda row: str(row.id), reverse=True)[:limit]


def _from_network(
    db: Connection,
    parts: Parts,
    wanted: EventFilter,
    network: IPv4Network | IPv6Network,
    subject: SubjectId | None,
    before: str,
    *,
    limit: int,
) -> EventPage:
    """Look through some thousand events: an index of addresses would slow every sign-in down."""
    found: list[Row[Any]] = []
    looked_at = 0
    for _ in range(_CHUNKS):
        rows = _rows(db, wanted, subject, before, limit=_AT_ONCE)
        events, following = _cut(rows, since=wanted.since, limit=_AT_ONCE)
        for row in events:
            looked_at += 1
            if _is_from(row.ip, network):
                found.append(row)
            if len(found) == limit:
                return EventPage(found, _names(db, parts, found), row.id)
        if following is None:
            return EventPage(found, _names(db, parts, found), None)
        before = following
    return EventPage(found, _names(db, parts, found), before, looked_at)


def _is_from(ip: str | None, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip is not None and ip_address(ip) in network
    except ValueError:
        return False


def _list(
    db: Connection,
    parts: Parts,
    *,
    user: str | None,
    type_: EventType | None,
    since: datetime | None,
    before: str,
    limit: int,
) -> EventPage | None:
    subject = None
    if user is not None:
        subject = _find_subject(db, parts, user)
        if subject is None:
            return None
    rows = audit.list_events(db, limit=limit, before=before, subject=subject, type_=type_)
    return _page(db, parts, rows, since=since, limit=limit)


def _page(
    db: Connection,
    parts: Parts,
    rows: Sequence[Row[Any]],
    *,
    since: datetime | None,
    limit: int,
) -> EventPage:
    wanted, following = _cut(rows, since=since, limit=limit)
    return EventPage(wanted, _names(db, parts, wanted), following)


def _cut(
    rows: Sequence[Row[Any]], *, since: datetime | None, limit: int
) -> tuple[Sequence[Row[Any]], str | None]:
    """Return the rows that are not too old, and where the list goes on after them."""
    wanted = [row for row in rows if since is None or row.id >= first_id_of(since)]
    has_more = len(rows) == limit and len(wanted) == len(rows)
    return wanted, wanted[-1].id if has_more else None


def _names(db: Connection, parts: Parts, rows: Sequence[Row[Any]]) -> dict[str, str]:
    names = {}
    for one in {row.subject_id for row in rows if row.subject_id}:
        if account := parts.accounts.get(db, SubjectId(one)):
            names[one] = account.username
    return names


def _find_subject(db: Connection, parts: Parts, user: str) -> SubjectId | None:
    account = parts.accounts.find(db, user)
    if account is not None:
        return account.subject
    return SubjectId(user) if _SUBJECT.fullmatch(user) else None
