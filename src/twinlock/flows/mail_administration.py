"""The outbox as operators see it: which mails wait or were given up, and having one tried again.

Nobody is shown what a mail says, nor a link in it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row

from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.principal import User
from twinlock.core.proof import SubjectId
from twinlock.flows.acting import transaction_of
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.mail import store as outbox

NOT_AGAIN: Final = Refused(
    "not_retryable", "It left meanwhile, is being tried, is too old, or never was."
)
_NEWEST: Final = (datetime(9999, 1, 1, tzinfo=UTC), "")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 250_000_000_000_000_000
_CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9a-f]{32})")


class State(StrEnum):
    """Which mails are looked for."""

    WAITING = "waiting"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class MailPage:
    """Some mails, without what they say, and the names of the accounts they are about.

    Attributes:
        next_cursor: Where the list goes on; None at its end, and for those that wait.
    """

    mails: Sequence[Row[Any]]
    usernames: Mapping[str, str]
    next_cursor: str | None


def is_cursor(text: str) -> bool:
    """Tell whether a page may have given this cursor."""
    found = _CURSOR.fullmatch(text)
    return found is not None and int(found[1]) <= _LAST


class MailAdministration:
    """Looks into the outbox, and has mails tried again."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list_mails(self, state: State | None, *, cursor: str | None, limit: int) -> MailPage:
        """Return a page of the outbox: the newest first, or of what waits what is tried next.

        Args:
            state: Which of them; None for all.
            cursor: That of the page before: see `is_cursor`.
            limit: How many at most.
        """
        return self._parts.database.reading(self._list, state, cursor, limit)

    def try_again(
        self, mail_id: str, caller: Caller, *, admin: User | None = None, now: datetime
    ) -> Refused | None:
        """Make a mail due at once that was given up, or waits for longer than a try can take.

        Args:
            mail_id: Which.
            caller: Who asks for it.
            admin: The admin who must still be one; None on the command line.
            now: The present moment.
        """
        return transaction_of(admin, self._parts, self._try_again, mail_id, caller, now=now)

    def _list(
        self, db: Connection, state: State | None, cursor: str | None, limit: int
    ) -> MailPage:
        before = _place(cursor)
        match state:
            case State.WAITING:
                mails = outbox.list_waiting(db, limit=limit)
            case State.GIVEN_UP:
                mails = outbox.list_given_up(db, before=before, limit=limit)
            case _:
                mails = outbox.list_mails(db, before=before, limit=limit)
        names = {}
        for one in {mail.subject_id for mail in mails if mail.subject_id}:
            if account := self._parts.accounts.get(db, SubjectId(one)):
                names[one] = account.username
        is_full = len(mails) == limit and state is not State.WAITING
        return MailPage(mails, names, _cursor(mails[-1]) if is_full else None)

    def _try_again(
        self, tx: Connection, mail_id: str, caller: Caller, *, now: datetime
    ) -> Refused | None:
        found = outbox.try_again(tx, mail_id, now=now)
        if found is None:
            return NOT_AGAIN
        subject = SubjectId(found.subject_id) if found.subject_id else None
        event = Event(
            EventType.MAIL_TRIED_AGAIN, now, caller, subject=subject, details={"kind": found.kind}
        )
        audit.record(tx, event)
        return None


def _cursor(mail: Row[Any]) -> str:
    return f"{(mail.created_at - _EPOCH) // timedelta(microseconds=1)}.{mail.id}"


def _place(cursor: str | None) -> tuple[datetime, str]:
    found = _CURSOR.fullmatch(cursor or "")
    if found is None or int(found[1]) > _LAST:
        return _NEWEST
    return _EPOCH + timedelta(microseconds=int(found[1])), found[2]
