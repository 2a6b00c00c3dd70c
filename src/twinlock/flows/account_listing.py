"""Lists accounts for an admin, page by page, at the same price among ten and among a million."""

import base64
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.names import login_key, name_key
from twinlock.accounts.search import store as search_store
from twinlock.core.principal import ADMIN
from twinlock.core.proof import SubjectId
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows.parts import Parts

NO_FACTOR: Final = "none"
ACTIVE: Final = "active"
DISABLED: Final = "disabled"
AWAITS: Final = "awaits_enrollment"
STOPPED: Final = "codes_stopped"
BEHIND: Final = "behind_policy"
_CHUNK: Final = 500
_CHUNKS: Final = 4
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARTS: Final = 3
_SEARCHES: Final = ("u", "e", "n")


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What accounts are looked for; whatever is empty is any.

    Attributes:
        search: Beginning of a username, an e-mail address or a name.
        factor: A method that they have, or `NO_FACTOR`.
        state: `ACTIVE`, `DISABLED`, `AWAITS`, `STOPPED` or `BEHIND`.
    """

    search: str = ""
    factor: str = ""
    state: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An account with what a list shows of it."""

    account: Account
    methods: Sequence[str]
    signed_in_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Some of the accounts that are looked for.

    Attributes:
        next_cursor: Where the search goes on; None at its end.
        looked_at: How many accounts were looked at where the search stopped before the page was
            full, so that nobody waits for the one among a million; None where it did not.
    """

    found: Sequence[Found]
    next_cursor: str | None
    looked_at: int | None = None


class _Place(NamedTuple):
    """An account's place: in which order, and where there."""

    by: str
    key: str
    id: str


_Placed = tuple[Account, _Place]
Judge = Callable[[Connection, Sequence[Found]], Collection[SubjectId]]
"""Says which of some accounts are in a state that their rows do not tell."""


def list_accounts(
    parts: Parts, *, search: str | None, cursor: str | None, limit: int
) -> AccountPage:
    """Return a page of accounts.

    Args:
        parts: The installation.
        search: Beginning of a username, an e-mail address or a name; None for all, in the order of
            their creation.
        cursor: That of the page before.
        limit: How many at most.

    Raises:
        InvalidCursorError: The cursor is not one of this list.
    """
    place = None if cursor is None else _read(cursor)
    placed = parts.database.reading(_rows, Wanted(search or ""), place, limit=limit)
    following = _write(placed[-1][1]) if len(placed) == limit else None
    return AccountPage([account for account, _ in placed], following)


def find_accounts(
    parts: Parts,
    wanted: Wanted,
    *,
    cursor: str | None,
    limit: int,
    judge: Judge | None = None,
) -> FoundPage:
    """Return a page of the accounts that are looked for, with their factors and last sign-ins.

    At most some thousand accounts are looked at for one page.

    Args:
        parts: The installation.
        wanted: Which accounts.
        cursor: That of the page before.
        limit: How many at most.
        judge: Which of them are in the state that is wanted; None where their rows tell.

    Raises:
        InvalidCursorError: The cursor is not one of this list.
    """
    return parts.database.reading(find_in, wanted, cursor=cursor, limit=limit, judge=judge)


def find_in(
    db: Connection,
    wanted: Wanted,
    *,
    cursor: str | None,
    limit: int,
    judge: Judge | None = None,
) -> FoundPage:
    """Do the same as `find_accounts` in the caller's transaction.

    Raises:
        InvalidCursorError: The cursor is not one of this list.
    """
    return _find(db, wanted, None if cursor is None else _read(cursor), judge, limit=limit)


def _find(
    db: Connection, wanted: Wanted, place: _Place | None, judge: Judge | None, *, limit: int
) -> FoundPage:
    is_narrow = bool(wanted.factor or wanted.state or wanted.role)
    size = _CHUNK if is_narrow else limit
    found: list[Found] = []
    for _ in range(_CHUNKS):
        placed = _rows(db, wanted, place, limit=size)
        those = _with_facts(db, placed)
        judged = None if judge is None else judge(db, those)
        for one, its_place in zip(those, (at for _, at in placed), strict=True):
            place = its_place
            is_so = judged is None or one.account.subject in judged
            if is_so and _is_wanted(one, wanted):
                found.append(one)
            if len(found) == limit:
                return FoundPage(found, _write(place))
        if len(placed) < size or place is None:
            return FoundPage(found, None)
    return FoundPage(found, _write(place) if place else None, _CHUNK * _CHUNKS)


def _is_wanted(one: Found, wanted: Wanted) -> bool:
    account = one.account
    if wanted.role and wanted.role not in account.roles:
        return False
    if wanted.factor == NO_FACTOR and one.methods:
        return False
    if wanted.factor not in {"", NO_FACTOR} and wanted.factor not in one.methods:
        return False
    match wanted.state:
        case "disabled":
            return account.is_disabled
        case "active":
            return not account.is_disabled and not account.awaits_enrollment
        case "awaits_enrollment":
            return account.awaits_enrollment
        case _:
            return True


def _with_facts(db: Connection, placed: Sequence[_Placed]) -> list[Found]:
    if not placed:
        return []
    subjects = [account.subject for account, _ in placed]
    methods = authenticators.find_methods(db, subjects)
    signed_in = search_store.find_sign_ins(db, subjects)
    return [
        Found(account, methods.get(account.subject, ()), signed_in.get(account.subject))
        for account, _ in placed
    ]


def _rows(db: Connection, wanted: Wanted, place: _Place | None, *, limit: int) -> list[_Placed]:
    """Return the next accounts of the order that finds what is wanted the fastest."""
    if wanted.search:
        return _search(db, wanted.search, place, limit=limit)
    after = (_BEGINNING, "")
    if place is not None:
        after = _moment(place), place.id
    if wanted.role == ADMIN:
        found = search_store.list_admins(db, after=after, limit=limit)
    elif wanted.state == DISABLED:
        found = search_store.list_disabled(db, after=after, limit=limit)
    else:
        found = accounts.list_accounts(db, after=after, limit=limit)
    return [(one, _Place("c", one.created_at.isoformat(), one.host_id)) for one in found]


def _search(db: Connection, typed: str, place: _Place | None, *, limit: int) -> list[_Placed]:
    """Return whom a beginning finds: by username, then by address, then by name, each once."""
    if place is not None and place.by not in _SEARCHES:
        raise InvalidCursorError
    placed: list[_Placed] = []
    start = _SEARCHES.index(place.by) if place else 0
    for by in _SEARCHES[start:]:
        after = (place.key, place.id) if place and place.by == by else ("", "")
        placed += _search_by(by, db, typed, after, limit=limit - len(placed))
        if len(placed) == limit:
            break
    return placed


def _search_by(
    by: str, db: Connection, typed: str, after: tuple[str, str], *, limit: int
) -> list[_Placed]:
    beginning = login_key(typed).text
    match by:
        case "u":
            found = search_store.list_by_username(db, beginning, after=after[0], limit=limit)
            return [(one, _Place("u", login_key(one.username).text, "")) for one in found]
        case "e":
            found = search_store.list_by_email(db, beginning, after=after, limit=limit)
            return [(one, _by_email(one)) for one in found]
        case _:
            name = name_key(typed)
            if name is None:
                return []
            found = search_store.list_by_name(db, beginning, name, after=after, limit=limit)
            return [(one, _by_name(one)) for one in found]


def _by_email(one: Account) -> _Place:
    return _Place("e", login_key(one.email or "").text, login_key(one.username).text)


def _by_name(one: Account) -> _Place:
    return _Place("n", name_key(one.full_name) or "", login_key(one.username).text)


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
