"""Forgotten passwords: a link to the verified address, and a new password for it.

    ask ── outbox ── answer ── mail ──┬─ begin_reset ── hash ── finish_reset
    (one row,        (worker: looks   (the link lives, the     (spends the link, sets the
    whoever it is)   for the account)  password is acceptable)   password, ends everything)

Asking does the same for every name: the account is looked for when the outbox is worked on. A
reset signs nobody in, and leaves second factors, their counts and their seal as they are.
"""

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.accounts.password_check import NewHash
from twinlock.accounts.password_policy import PasswordProblem
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import Reason
from twinlock.core.secrets import digest, new_secret
from twinlock.flows import mailing
from twinlock.flows.changes import Changes
from twinlock.flows.counting import Counting
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.parts import Parts
from twinlock.flows.policing import Named, PasswordPolicy
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.mail.office import MailOffice
from twinlock.pending import store as pending
from twinlock.pending.store import Pending, Purpose

log = logging.getLogger("twinlock.mail")

LINK_INVALID: Final = Refused(
    "link_invalid", "This link was used, is too old, or something changed since. Ask for a new one."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request was taken: the same for every name."""


@dataclass(frozen=True, slots=True)
class ResetBegun:
    """A living link, and a password that the policy accepts; it is to be hashed now."""

    begun: Pending
    account: Account


@dataclass(frozen=True, slots=True)
class PasswordSet:
    """The new password counts; nobody is signed in."""


class Recovery:
    """Lets the owner of a verified address choose a new password."""

    def __init__(
        self, parts: Parts, counting: Counting, changes: Changes, policy: PasswordPolicy
    ) -> None:
        self._parts = parts
        self._counting = counting
        self._changes = changes
        self._policy = policy

    def ask(self, name: str, caller: Caller, *, now: datetime) -> Asked | Throttled:
        """Ask for a link, for a username or an e-mail address."""
        return self._parts.database.transaction_once(self._ask, name, caller, now=now)

    def look(self, token: str, *, now: datetime) -> Account | None:
        """Return whose living link this is; looking changes nothing."""
        found = self._parts.database.reading(self._find, token, now=now)
        return found.account if found else None

    def begin_reset(self, token: str, password: str, *, now: datetime) -> ResetBegun | Refused:
        """Check a link and a password. An unacceptable password leaves the link as it is."""
        found = self._parts.database.reading(self._find, token, now=now)
        if found is None:
            return LINK_INVALID
        account = found.account
        named = Named(account.username, account.email, account.full_name)
        problem = self._policy.check(password, named)
        if isinstance(problem, PasswordProblem):
            return Refused(problem.value, problem.sentence)
        return found

    def finish_reset(
        self, reset: ResetBegun, new_hash: NewHash, caller: Caller, *, now: datetime
    ) -> PasswordSet | Refused:
        """Spend the link and set the password; everything that was begun or open ends."""
        done = self._parts.database.transaction(
            self._finish_reset, reset, new_hash, caller, now=now
        )
        if isinstance(done, Refused):
            return done
        self._parts.marks.bump(done)
        return PasswordSet()

    def answer(self, tx: Connection, body: bytes, *, now: datetime) -> None:
        """Look for the account of a request, and write its mail if there is to be one."""
        asked = json.loads(body)
        caller = Caller(
            ip=asked["ip"],
            user_agent=asked["user_agent"],
            is_browser=asked["is_browser"],
            known_browser=asked["known_browser"],
        )
        account = self._parts.accounts.find(tx, asked["name"])
        refused = self._why_not(tx, account, caller, now=now)
        name_digest = None if account else self._counting.name_digest(asked["name"])
        audit.record(
            tx,
            Event(
                EventType.RECOVERY_REQUESTED,
                now,
                caller,
                subject=account.subject if account else None,
                name_digest=name_digest,
                reason=refused,
            ),
        )
        if account is not None and account.email is not None and refused is None:
            self._mail_link(tx, account, account.email, now=now)

    def _ask(
        self, tx: Connection, name: str, caller: Caller, *, now: datetime
    ) -> Asked | Throttled:
        throttled = self._counting.take_recovery_try(tx, caller, now=now)
        if isinstance(throttled, Throttled):
            return throttled
        if self._parts.mail is None:
            log.warning("mail_not_configured", extra={"wanted": mailing.RECOVERY_REQUEST})
            return Asked()
        asked = {
            "name": name,
            "ip": caller.ip,
            "user_agent": caller.user_agent,
            "is_browser": caller.is_browser,
            "known_browser": caller.known_browser,
        }
        mailing.put(
            tx,
            self._parts,
            mailing.RECOVERY_REQUEST,
            json.dumps(asked).encode(),
            subject=None,
            lifetime=self._parts.lifetimes.recovery_link,
            now=now,
        )
        return Asked()

    def _why_not(
        self, tx: Connection, account: Account | None, caller: Caller, *, now: datetime
    ) -> Reason | None:
        """Return why a request gets no mail; None when it gets one, which is counted then."""
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if account.is_disabled:
            return Reason.DISABLED
        if account.email is None or not account.is_email_verified:
            return Reason.EMAIL_UNVERIFIED
        if account.password_hash is None:
            return Reason.METHOD_NOT_AVAILABLE
        is_known = self._counting.is_known_browser(tx, account.subject, caller, now=now)
        rules = self._parts.throttle
        rule = rules.mails if is_known else rules.mails_for_strangers
        kind = Kind.PASSWORD_RECOVERY
        if not mailing.may_mail(tx, self._parts, kind, account.subject, rule=rule, now=now):
            return Reason.THROTTLED
        return None

    def _mail_link(self, tx: Connection, account: Account, email: str, *, now: datetime) -> None:
        token = new_secret()
        lifetime = self._parts.lifetimes.recovery_link
        begun = mailed_link(
            Purpose.RECOVERY, token, account, account.generation, now + lifetime, now
        )
        pending.insert_pending(tx, begun)
        office = require_mail(self._parts)
        values = {
            **mailing.who(account),
            "link": office.letterhead.link("recovery", "password", token),
            "until": sentence_of(now + lifetime),
        }
        letter = Letter(Kind.PASSWORD_RECOVERY, email, values)
        mailing.post(tx, self._parts, letter, subject=account.subject, lifetime=lifetime, now=now)

    def _find(self, db: Connection, token: str, *, now: datetime) -> ResetBegun | None:
        found = find_link(db, self._parts, Purpose.RECOVERY, token, now=now)
        return ResetBegun(*found) if found else None

    def _finish_reset(
        self,
        tx: Connection,
        reset: ResetBegun,
        new_hash: NewHash,
        caller: Caller,
        *,
        now: datetime,
    ) -> list[str] | Refused:
        account = spend_link(tx, self._parts, reset.begun, now=now)
        if account is None:
            return LINK_INVALID
        those = self._changes.sealed_authenticators(tx, account)
        if (
            self._changes.raise_generation(
                tx, account, those, awaits_enrollment=account.awaits_enrollment
            )
            is None
        ):
            return LINK_INVALID
        ended = self._changes.end_all(tx, account, now=now)
        accounts.update_password(
            tx,
            account.host_id,
            password_hash=new_hash.password_hash,
            scheme=new_hash.scheme,
            expires_at=None,
            by_mailed_link=True,
            now=now,
        )
        details = {"by": "recovery"}
        audit.record(
            tx,
            Event(
                EventType.PASSWORD_CHANGED, now, caller, subject=account.subject, details=details
            ),
        )
        mailing.notify(tx, self._parts, account, Kind.PASSWORD_CHANGED, now=now)
        return ended


def mailed_link(
    purpose: Purpose,
    token: str,
    account: Account,
    generation: int,
    expires_at: datetime,
    now: datetime,
) -> Pending:
    """Return what a mailed link stands for; it dies with the subject's generation."""
    return Pending(
        digest=digest(token),
        purpose=purpose,
        subject=account.subject,
        generation=generation,
        session_id=None,
        method=None,
        acr=None,
        proven_at=None,
        scope=(),
        state=None,
        tries=0,
        expires_at=expires_at,
        created_at=now,
    )


def find_link(
    db: Connection, parts: Parts, purpose: Purpose, token: str, *, now: datetime
) -> tuple[Pending, Account] | None:
    """Return a living link and its account, whose generation is still the link's."""
    begun = pending.get_pending(db, digest(token), purpose=purpose, max_tries=1, now=now)
    if begun is None:
        return None
    account = parts.accounts.get(db, begun.subject)
    if account is None or account.is_disabled or account.generation != begun.generation:
        return None
    return begun, account


def spend_link(tx: Connection, parts: Parts, begun: Pending, *, now: datetime) -> Account | None:
    """Spend a link, once, and return its account, whose row is held until the transaction ends.

    The subject's row comes first, as in every change, so that no two wait for each other.
    """
    if not subjects.lock(tx, begun.subject, seen=begun.generation):
        return None
    account = parts.accounts.get(tx, begun.subject)
    if account is None or account.is_disabled or account.generation != begun.generation:
        return None
    return account if pending.spend(tx, begun, now=now) else None


def require_mail(parts: Parts) -> MailOffice:
    """Return what mail is sent with, where a mail is under way already.

    Raises:
        LookupError: There is none.
    """
    if parts.mail is None:
        raise LookupError("this installation sends no mail")
    return parts.mail
