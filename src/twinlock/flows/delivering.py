"""Delivering what waits in the outbox: by several workers at once, each mail by one of them.

A mail is claimed in a transaction of its own, sent without any, and wiped in another. A worker
that dies in between leaves a mail that goes out again later, under the same Message-ID.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import Connection

from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import SubjectId
from twinlock.flows import mailing
from twinlock.flows.parts import Parts
from twinlock.mail import store as outbox
from twinlock.mail.letters import Letter
from twinlock.mail.office import MailOffice
from twinlock.mail.store import Outgoing
from twinlock.mail.transport import MailError, MailRefusedError

log = logging.getLogger("twinlock.mail")

BATCH: Final = 20
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)
_NOBODY: Final = Caller(actor="mail")
EXPIRED: Final = "expired"
SEAL_BROKEN: Final = "seal_broken"
_MAX_SAID: Final = 100
_LINK: Final = re.compile(r"\S*://\S*")


class Answer(Protocol):
    """Looks for the account of a request, and writes its mail if there is to be one."""

    def __call__(self, tx: Connection, body: bytes, *, now: datetime) -> None:
        """Do it, in the transaction that takes the request away."""
        ...


class Delivering:
    """Works on the outbox."""

    def __init__(self, parts: Parts, answers: Mapping[str, Answer]) -> None:
        """Work on the outbox of an installation.

        Args:
            parts: The installation.
            answers: What is done with requests whose account is yet to be looked for, by kind.
        """
        self._parts = parts
        self._answers = answers

    def deliver_due(self, clock: Callable[[], datetime], *, stop: Callable[[], bool]) -> int:
        """Deliver what is due, and give up what is too old; return how many were delivered.

        Args:
            clock: Asked again for each mail, because one may take a minute.
            stop: Asked between two mails.

        Raises:
            DatabaseUnavailableError: The database refused, or did not answer in time.
        """
        office, delivered = self._parts.mail, 0
        if office is None:
            return 0
        while True:
            due = self._parts.database.reading(outbox.list_due, now=clock(), limit=BATCH)
            moved = 0
            for mail in due:
                done = self._work_on(office, mail, now=clock())
                moved += done is not None
                delivered += done is True
                if stop():
                    return delivered
            if not moved:
                return delivered

    def _work_on(self, office: MailOffice, mail: Outgoing, *, now: datetime) -> bool | None:
        """Return whether a mail was delivered; None when it is another worker's."""
        database = self._parts.database
        if mail.expires_at <= now:
            database.transaction(self._wipe, mail, EXPIRED, now=now)
            return False
        if not database.transaction(outbox.claim, mail, now=now):
            return None
        mine = replace(mail, attempts=mail.attempts + 1)
        try:
            body = mailing.open_body(self._parts, mine.id, mine.subject, mine.sealed)
        except SealBrokenError:
            log.critical("seal_broken", extra={"mail": mine.id})
            database.transaction(self._wipe, mine, SEAL_BROKEN, now=now)
            return False
        if (answer := self._answers.get(mine.kind)) is not None:
            database.transaction(self._answer, mine, answer, body, now=now)
            return False
        return self._send(office, mine, Letter.unpacked(body), now=now)

    def _send(self, office: MailOffice, mine: Outgoing, letter: Letter, *, now: datetime) -> bool:
        database = self._parts.database
        if not letter.to:
            database.transaction(outbox.finish, mine, now=now)
            return False
        try:
            message = office.letterhead.message(letter, message_id=mine.id, now=mine.created_at)
            office.transport.send(message)
        except (MailRefusedError, ValueError) as error:
            database.transaction(self._give_up, mine, _said(error), now=now)
            return False
        except MailError as error:
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(mine.attempts - 1, 10))
            until = min(now + wait, mine.expires_at)
            database.transaction(outbox.postpone, mine, until=until, why=_said(error))
            log.warning("mail_postponed", extra={"kind": mine.kind, "error": str(error)})
            return False
        database.transaction(outbox.finish, mine, now=now)
        log.info("mail_delivered", extra={"kind": mine.kind, "attempts": mine.attempts})
        return True

    def _answer(
        self, tx: Connection, mine: Outgoing, answer: Answer, body: bytes, *, now: datetime
    ) -> None:
        if outbox.finish(tx, mine, now=now):
            answer(tx, body, now=now)

    def _give_up(self, tx: Connection, mine: Outgoing, why: str, *, now: datetime) -> None:
        if outbox.give_up(tx, mine, why=why, now=now):
            self._record(tx, mine, why, now=now)

    def _wipe(self, tx: Connection, mine: Outgoing, why: str, *, now: datetime) -> None:
        if outbox.wipe(tx, mine, why=why, now=now):
            self._record(tx, mine, why, now=now)

    def _record(self, tx: Connection, mine: Outgoing, why: str, *, now: datetime) -> None:
        log.warning("mail_given_up", extra={"kind": mine.kind, "error": why})
        subject = SubjectId(mine.subject) if mine.subject else None
        details: dict[str, str | int | Sequence[str]] = {
            "kind": mine.kind,
            "error": why,
            "attempts": mine.attempts,
        }
        audit.record(
            tx, Event(EventType.MAIL_GIVEN_UP, now, _NOBODY, subject=subject, details=details)
        )


def _said(error: Exception) -> str:
    """Return what a mail server said, in one line; some of them quote the mail's links."""
    said = _LINK.sub("…", str(error))
    return "".join(one if one.isprintable() else " " for one in said)[:_MAX_SAID]
