"""Short lists, page by page: those that an account's own caps keep short."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Protocol, TypeVar

from fastapi import Query, Response

from twinlock.web.problems import problem

Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(min_length=1, max_length=128)]

_MICROSECOND: Final = 1_000_000


class Listed(Protocol):
    """What has its place by when it began, and by its id among those that began with it."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def created_at(self) -> datetime:
        """When it began."""


L = TypeVar("L", bound=Listed)


def cut(found: Sequence[L], *, limit: int, cursor: str | None) -> tuple[Sequence[L], str | None]:
    """Return one page of what was found, the newest first, and the cursor of the next.

    A cursor is a place and not a row: it stays good when the row before it is gone.

    Raises:
        ValueError: The cursor is not one of these lists.
    """
    place = None if cursor is None else _read(cursor)
    rest = [one for one in found if place is None or _place_of(one) > place]
    page = rest[:limit]
    return page, _write(page[-1]) if len(rest) > limit else None


def unknown_cursor() -> Response:
    """Return the refusal of a cursor that no page gave."""
    return problem(422, "invalid_request", "The cursor is not one of this list.")


def _place_of(one: Listed) -> tuple[int, str]:
    return -_microseconds(one.created_at), one.id


def _microseconds(moment: datetime) -> int:
    whole = int(moment.astimezone(UTC).replace(microsecond=0).timestamp())
    return whole * _MICROSECOND + moment.microsecond


def _write(last: Listed) -> str:
    place = f"{_microseconds(last.created_at)}.{last.id}"
    return base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()


def _read(cursor: str) -> tuple[int, str]:
    raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    moment, dot, id_ = raw.decode("ascii").partition(".")
    if not dot or not moment.isdecimal() or len(moment) > 20:
        raise ValueError("not a cursor of a list")
    return -int(moment), id_
