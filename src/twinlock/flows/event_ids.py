"""Where a moment lies among the ids of events, which are UUIDv7 and so ordered by time."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DIGITS: Final = 12


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
