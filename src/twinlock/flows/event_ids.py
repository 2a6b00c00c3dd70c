"""The ids of events: UUIDv7 inside, ordered by time, and 128 random bits for whoever is outside."""

from datetime import UTC, datetime, timedelta
from typing import Final

from twinlock.core.keyring import DigestKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DIGITS: Final = 12
_PURPOSE: Final = "event_id"
_VERSION: Final = "7"
_NO_ID: Final = "0" * 32
_LEAD: Final = timedelta(days=1)
"""How far ahead another machine's clock may be for its events to be believed."""


def first_id_of(moment: datetime) -> str:
    """Return what is before the id of every event of *moment*'s millisecond and after it."""
    milliseconds = max(0, (moment - _EPOCH) // _MILLISECOND)
    return f"{milliseconds:0{_DIGITS}x}"


def moment_of(event_id: str) -> datetime | None:
    """Return the moment that an id begins with; None where it is no id."""
    try:
        return _EPOCH + int(event_id[:_DIGITS], 16) * _MILLISECOND
    except (ValueError, OverflowError):
        return None


def shown_id(key: DigestKey, event_id: str) -> str:
    """Return the id that clients get for an event; all zeros for what is no id of ours."""
    try:
        return key.veil(_PURPOSE, event_id)
    except ValueError:
        return _NO_ID


def inner_id(key: DigestKey, shown: str, *, now: datetime) -> str | None:
    """Return the id that *shown*, 32 hex digits, stands for; None where we never gave it out."""
    event_id = key.unveil(_PURPOSE, shown)
    moment = moment_of(event_id)
    is_ours = event_id[_DIGITS] == _VERSION and moment is not None and moment <= now + _LEAD
    return event_id if is_ours else None
