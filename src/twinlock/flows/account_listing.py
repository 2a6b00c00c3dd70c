"""Lists accounts for an admin, page by page, at the same price among ten and among a million."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.names import login_key
from twinlock.accounts.search import store as search_store
from twinlock.flows.parts import Parts

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS: Final = 3


class InvalidCursorError(Exception):
    """A cursor that no page gave."""


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Some accounts.

    Attributes:
        next_cursor: Where the list goes on; None at its end.
    """

    accounts: Sequence[Account]
    next_cursor: str | None


class _Place(NamedTuple):
    """The last account of a page: of which list, and its place there."""

    by: str
    key: str
    id: str


def list_accounts(
    parts: Parts, *, search: str | None, cursor: str | None, limit: int
) -> AccountPage:
    """Return a page of accounts.

    Args:
        parts: The installation.
        search: Beginning of a username or an e-mail address; None for all, in the order of
            their creation.
        cursor: That of the page before.
        limit: How many at most.

    Raises:
        InvalidCursorError: The cursor is not one of this list.
    """
    place = None if cursor is None else _read(cursor)
    if search is None:
        return parts.database.reading(_list_all, place, limit=limit)
    return parts.database.reading(_search, login_key(search).text, place, limit=limit)


def _list_all(db: Connection, place: _Place | None, *, limit: int) -> AccountPage:
    after = (_BEGINNING, "")
    if place is not None:
        after = _moment(place), place.id
    found = accounts.list_accounts(db, after=after, limit=limit, search=None)
    return _page(found, limit, lambda last: _Place("c", last.created_at.isoformat(), last.host_id))


def _search(db: Connection, beginning: str, place: _Place | None, *, limit: int) -> AccountPage:
    if place is not None and place.by not in {"u", "e"}:
        raise InvalidCursorError
    found: list[Account] = []
    if place is None or place.by == "u":
        after = place.key if place else ""
        found = search_store.list_by_username(db, beginning, after=after, limit=limit)
        if len(found) == limit:
            return _page(found, limit, lambda last: _Place("u", login_key(last.username).text, ""))
    after = place.key if place and place.by == "e" else ""
    left = limit - len(found)
    by_email = search_store.list_by_email(db, beginning, after=after, limit=left)
    cursor = None
    if len(by_email) == left:
        cursor = _write(_Place("e", login_key(by_email[-1].email or "").text, ""))
    return AccountPage([*found, *by_email], cursor)


def _page(found: Sequence[Account], limit: int, place: Callable[[Account], _Place]) -> AccountPage:
    return AccountPage(found, _write(place(found[-1])) if len(found) == limit else None)


def _write(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read(cursor: str) -> _Place:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidCursorError from error
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise InvalidCursorError
    if not all(isinstance(part, str) and part.isprintable() for part in parts):
        raise InvalidCursorError
    return _Place(*parts)


def _moment(place: _Place) -> datetime:
    try:
        moment = datetime.fromisoformat(place.key)
    except ValueError as error:
        raise InvalidCursorError from error
    if place.by != "c" or moment.tzinfo is None or not 1970 <= moment.year < 9999:
        raise InvalidCursorError
    return moment
