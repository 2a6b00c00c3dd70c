"""Registration: an account for whoever reads the mails of an address, and for nobody else.

    ask ── outbox ── answer ── mail ──┬─ begin ── hash ── finish ── Welcomed (a login that enrolls)
    (one row,        (worker: looks   │  (the link lives, name
    whoever it is)   for the account) │  and password may be used)
                                      └─ or: you have an account already

Asking does the same for every address, and no account is made before its mailbox has answered.
"""

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.names import (
    EmailAddress,
    EmailProblem,
    UsernameProblem,
    check_email,
    check_username,
)
from twinlock.accounts.password_check import NewHash
from twinlock.accounts.password_policy import PasswordProblem
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.errors import SealBrokenError
from twinlock.core.proof import Reason, SubjectId
from twinlock.core.secrets import digest, new_secret
from twinlock.flows import mailing
from twinlock.flows.account_making import NewAccount, make_account
from twinlock.flows.counting import Counting
from twinlock.flows.email_change import EMAIL_TAKEN
from twinlock.flows.first_password import Welcomed, welcome
from twinlock.flows.outcomes import Refused, Throttled
from twinlock.flows.parts import Parts
from twinlock.flows.policing import Named, PasswordPolicy
from twinlock.flows.recovery import LINK_INVALID, Asked, require_mail
from twinlock.flows.verifying import Verifying
from twinlock.mail.letters import Kind, Letter, sentence_of
from twinlock.pending import store as pending
from twinlock.pending.store import Pending, Purpose
from twinlock.policies.policy import demands_on

log = logging.getLogger("twinlock.mail")

_NOBODY: Final = SubjectId("0" * 32)


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who wants an account: the names they chose."""

    username: str
    full_name: str | None = None


@dataclass(frozen=True, slots=True)
class RegistrationBegun:
    """A living link, and a name and password that may be used; it is to be hashed now."""

    begun: Pending
    applicant: Applicant
    email: str = field(repr=False)


class Registration:
    """Lets people make an account of their own."""

    def __init__(
        self,
        parts: Parts,
        counting: Counting,
        verifying: Verifying,
        policy: PasswordPolicy,
        *,
        is_enabled: bool,
    ) -> None:
        """Keep the parts; where it is not enabled, nothing of it may be called."""
        self._parts = parts
        self._counting = counting
        self._verifying = verifying
        self._policy = policy
        self.is_enabled = is_enabled

    def ask(self, email: str, caller: Caller, *, now: datetime) -> Asked | Refused | Throttled:
        """Ask for a link; the answer is the same whoever has the address."""
        address = check_email(email)
        if isinstance(address, EmailProblem):
            return Refused(address.value, address.sentence)
        return self._parts.database.transaction_once(self._ask, address, caller, now=now)

    def answer(self, tx: Connection, body: bytes, *, now: datetime) -> None:
        """Look for an account with the address of a request, and mail what is to be done."""
        asked = json.loads(body)
        caller = Caller(ip=asked["ip"], user_agent=asked["user_agent"])
        address = check_email(asked["email"])
        if isinstance(address, EmailProblem) or not self.is_enabled:
            return
        may = mailing.may_mail(tx, self._parts, Kind.REGISTRATION, address.key, now=now)
        account = self._parts.accounts.find(tx, address.text)
        audit.record(
            tx,
            Event(
                EventType.REGISTRATION_REQUESTED,
                now,
                caller,
                subject=account.subject if account else None,
                name_digest=None if account else self._counting.name_digest(address.text),
                reason=None if may else Reason.THROTTLED,
            ),
        )
        if not may:
            return
        if account is not None:
            self._mail_known(tx, account, account.email or address.text, now=now)
        else:
            self._mail_link(tx, address, now=now)

    def look(self, token: str, *, now: datetime) -> str | None:
        """Return the address of a living link; looking changes nothing."""
        if not self.is_enabled:
            return None
        found = self._parts.database.reading(self._find, token, now=now)
        return found[1] if found else None

    def begin(
        self, token: str, applicant: Applicant, password: str, *, now: datetime
    ) -> RegistrationBegun | Refused:
        """Check a link, a name and a password. What cannot be used leaves the link as it is."""
        return self._parts.database.reading(self._begin, token, applicant, password, now=now)

    def finish(
        self, wanted: RegistrationBegun, new_hash: NewHash, caller: Caller, *, now: datetime
    ) -> Welcomed | Refused:
        """Make the account, and let its first factor be enrolled.

        A name that is taken costs one of the link's five tries, so that a link lists no accounts.
        """
        return self._parts.database.transaction(self._finish, wanted, new_hash, caller, now=now)

    def _ask(
        self, tx: Connection, address: EmailAddress, caller: Caller, *, now: datetime
    ) -> Asked | Throttled:
        throttled = self._counting.take_registration_try(tx, caller, now=now)
        if isinstance(throttled, Throttled):
            return throttled
        if self._parts.mail is None:
            log.warning("mail_not_configured", extra={"wanted": mailing.REGISTRATION_REQUEST})
            return Asked()
        asked = {"email": address.text, "ip": caller.ip, "user_agent": caller.user_agent}
        mailing.put(
            tx,
            self._parts,
            mailing.REGISTRATION_REQUEST,
            json.dumps(asked).encode(),
            subject=None,
            lifetime=self._parts.lifetimes.recovery_link,
            now=now,
        )
        return Asked()

    def _mail_known(
        self, tx: Connection, account: Account, verified: str, *, now: datetime
    ) -> None:
        """Tell the owner, at the account's own address: who typed it may have its twin."""
        link = require_mail(self._parts).letterhead.link("login")
        letter = Letter(Kind.ALREADY_REGISTERED, verified, {**mailing.who(account), "link": link})
        lifetime = mailing.NOTICE_LIFETIME
        mailing.post(tx, self._parts, letter, subject=account.subject, lifetime=lifetime, now=now)

    def _mail_link(self, tx: Connection, address: EmailAddress, *, now: datetime) -> None:
        token, lifetime = new_secret(), self._parts.lifetimes.email_link
        begun = Pending(
            digest=digest(token),
            purpose=Purpose.REGISTRATION,
            subject=_NOBODY,
            generation=0,
            session_id=None,
            method=None,
            acr=None,
            proven_at=None,
            scope=(),
            state=None,
            tries=0,
            expires_at=now + lifetime,
            created_at=now,
        )
        pending.insert_pending(tx, begun)
        state = self._verifying.seal_state(address.text.encode(), begun)
        pending.set_state(tx, begun.digest, state=state)
        link = require_mail(self._parts).letterhead.link("registration", token)
        told = {"link": link, "until": sentence_of(now + lifetime)}
        letter = Letter(Kind.REGISTRATION, address.text, told)
        mailing.post(tx, self._parts, letter, subject=None, lifetime=lifetime, now=now)

    def _find(self, db: Connection, token: str, *, now: datetime) -> tuple[Pending, str] | None:
        begun = pending.get_pending(
            db,
            digest(token),
            purpose=Purpose.REGISTRATION,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        email = self._email_of(begun) if begun is not None else None
        return None if begun is None or email is None else (begun, email)

    def _begin(
        self, db: Connection, token: str, applicant: Applicant, password: str, *, now: datetime
    ) -> RegistrationBegun | Refused:
        found = self._find(db, token, now=now)
        if found is None:
            return LINK_INVALID
        begun, email = found
        username = check_username(applicant.username)
        if isinstance(username, UsernameProblem):
            return Refused(username.value, username.sentence)
        named = Named(applicant.username, email, applicant.full_name)
        demands = demands_on(self._parts.policies.read(db), _NOBODY, (), now=now)
        problem = self._policy.check(password, named, has_second_factor=demands.second_factor)
        if isinstance(problem, PasswordProblem):
            return Refused(problem.value, problem.sentence)
        return RegistrationBegun(begun, applicant, email)

    def _finish(
        self,
        tx: Connection,
        wanted: RegistrationBegun,
        new_hash: NewHash,
        caller: Caller,
        *,
        now: datetime,
    ) -> Welcomed | Refused:
        begun = pending.take_try(
            tx,
            wanted.begun.digest,
            purpose=Purpose.REGISTRATION,
            max_tries=self._parts.lifetimes.max_answers,
            now=now,
        )
        if begun is None or self._email_of(begun) != wanted.email:
            return LINK_INVALID
        if self._parts.accounts.find(tx, wanted.email) is not None:
            pending.spend(tx, begun, now=now)
            return EMAIL_TAKEN
        new = NewAccount(wanted.applicant.username, wanted.email, wanted.applicant.full_name)
        made = make_account(
            tx, self._parts, new, caller, type_=EventType.ACCOUNT_REGISTERED, now=now
        )
        if isinstance(made, Refused):
            return made
        if not pending.spend(tx, begun, now=now):
            raise AssertionError("the link's row was not held")
        return welcome(tx, self._parts, self._verifying, made, new_hash, now=now)

    def _email_of(self, begun: Pending) -> str | None:
        """Return the address that a link was mailed to, if we wrote it."""
        try:
            state = self._verifying.open_state(begun)
        except SealBrokenError:
            return None
        return state.decode() if state else None
