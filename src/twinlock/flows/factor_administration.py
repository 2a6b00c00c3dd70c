"""What an operator does to an account's factors: enroll beside the owner, remove, start anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts.directory import Account
from twinlock.accounts.subjects import store as subjects
from twinlock.audit import store as audit
from twinlock.audit.events import Caller, Event, EventType
from twinlock.core.proof import Rejected
from twinlock.factors.authenticators import store as authenticators
from twinlock.factors.authenticators.store import Authenticator
from twinlock.factors.protocol import Factor, Holder, Prompt
from twinlock.flows.changes import Changes
from twinlock.flows.enrolling import TOO_MANY, confirm, is_full, refusal_of, tell_of_factor
from twinlock.flows.factors import LAST_PASSKEY, describe_all, is_only_way_in
from twinlock.flows.mailing import post_enrollment_link
from twinlock.flows.outcomes import Refused
from twinlock.flows.parts import Parts
from twinlock.flows.verifying import Verifying
from twinlock.flows.waiting_logins import issue_link
from twinlock.mail.letters import Kind

NO_FACTOR: Final = Refused("not_found", "The account has no such authenticator.")
CHANGED: Final = Refused("changed_meanwhile", "The account changed just now. Try again.")
SEAL_BROKEN: Final = Refused(
    "seal_broken",
    "The account's authenticators are not those that its seal was made over. Find out who "
    "changed the database; then `twinlock factor reset` starts it anew.",
)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An authenticator that an operator enrolled together with its owner.

    Attributes:
        recovery_codes: Shown this once; empty unless it is the account's first factor.
    """

    authenticator: Authenticator
    recovery_codes: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed, and every session ended.

    Attributes:
        link: With the last factor gone: the single-use token that the owner's next login
            enrolls with; shown this once.
    """

    link: str | None = field(default=None, repr=False)
    ended: Sequence[str] = ()


class FactorAdministration:
    """Changes what accounts have, from the command line. Every change ends every session."""

    def __init__(self, parts: Parts, verifying: Verifying, changes: Changes) -> None:
        self._parts = parts
        self._verifying = verifying
        self._changes = changes

    def find_authenticators(self, account: Account) -> Sequence[Authenticator] | Refused:
        """Return what the account has, if its seal holds."""
        found = self._parts.database.reading(self._changes.sealed_authenticators, account)
        return SEAL_BROKEN if found is None else found

    def describe(self, account: Account) -> Mapping[str, Mapping[str, str | bool | None]]:
        """Return what factors know of the account's authenticators, by authenticator id."""
        return self._parts.database.reading(self._describe, account)

    def recovery_codes_left(self, account: Account) -> int:
        """Return how many recovery codes are left."""
        return self._parts.database.reading(self._parts.recovery_codes.count_left, account.subject)

    def begin_enrollment(self, account: Account, factor: Factor, *, now: datetime) -> Prompt:
        """Begin to enroll an authenticator at the operator's terminal, the owner beside it."""
        holder = Holder(account.subject, account.username, account.full_name or account.username)
        return self._parts.database.reading(factor.begin_enrollment, holder, now=now)

    def finish_enrollment(
        self,
        account: Account,
        factor: Factor,
        prompt: Prompt,
        answer: str,
        label: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Enrolled | Refused:
        """Confirm an enrollment with the owner's answer."""
        done = self._parts.database.transaction(
            self._finish_enrollment, account, factor, prompt, answer, label, caller, now=now
        )
        if isinstance(done, Refused):
            return done
        enrolled, ended = done
        self._parts.marks.bump(ended)
        return enrolled

    def remove(
        self, account: Account, authenticator_id: str, caller: Caller, *, now: datetime
    ) -> Removed | Refused:
        """Remove one authenticator; with the last one the account awaits an enrollment."""
        return self._told(
            self._parts.database.transaction(
                self._remove, account, authenticator_id, caller, now=now
            )
        )

    def reset(self, account: Account, caller: Caller, *, now: datetime) -> Removed | Refused:
        """Remove every factor and code, under a broken seal, too.

        The account awaits an enrollment: its password opens nothing, and enrolls only together
        with the link that comes back here.
        """
        return self._told(self._parts.database.transaction(self._reset, account, caller, now=now))

    def _told(self, done: Removed | Refused) -> Removed | Refused:
        if isinstance(done, Removed):
            self._parts.marks.bump(list(done.ended))
        return done

    def _finish_enrollment(
        self,
        tx: Connection,
        account: Account,
        factor: Factor,
        prompt: Prompt,
        answer: str,
        label: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> tuple[Enrolled, list[str]] | Refused:
        if not subjects.lock(tx, account.subject, seen=account.generation):
            return CHANGED
        those = self._changes.sealed_authenticators(tx, account)
        if those is None:
            return SEAL_BROKEN
        if is_full(factor, those):
            return TOO_MANY
        state = prompt.state or b""
        confirmed = confirm(tx, factor, account.subject, state, answer, label, now=now)
        if isinstance(confirmed, Rejected):
            return refusal_of(confirmed)
        enrolled = confirmed.authenticator
        self._changes.raise_generation(tx, account, [*those, enrolled])
        ended = self._changes.end_all(tx, account, now=now)
        recovery_codes: Sequence[str] = ()
        if not those:
            recovery_codes = self._parts.recovery_codes.create(tx, account.subject, now=now)
        self._record(tx, EventType.FACTOR_ENROLLED, account, enrolled, caller, now=now)
        tell_of_factor(tx, self._parts, account, Kind.FACTOR_ADDED, enrolled, now=now)
        return Enrolled(enrolled, recovery_codes), ended

    def _remove(
        self,
        tx: Connection,
        account: Account,
        authenticator_id: str,
        caller: Caller,
        *,
        now: datetime,
    ) -> Removed | Refused:
        those = self._changes.sealed_authenticators(tx, account)
        if those is None:
            return SEAL_BROKEN
        removed = next((one for one in those if one.id == authenticator_id), None)
        if removed is None:
            return NO_FACTOR
        left = [one for one in those if one is not removed]
        if is_only_way_in(self._parts, account, removed, left=left):
            return LAST_PASSKEY
        generation = self._changes.raise_generation(tx, account, left, awaits_enrollment=not left)
        if generation is None:
            return CHANGED
        authenticators.delete_authenticator(tx, account.subject, removed.id)
        factor = self._parts.factors.get(removed.method)
        if factor is not None:
            factor.remove(tx, account.subject, removed.id)
        if not left:
            self._parts.recovery_codes.remove_all(tx, account.subject)
        self._record(tx, EventType.FACTOR_REMOVED, account, removed, caller, now=now)
        tell_of_factor(tx, self._parts, account, Kind.FACTOR_REMOVED, removed, now=now)
        ended = self._changes.end_all(tx, account, now=now)
        if left:
            return Removed(None, ended)
        return Removed(self._issue_link(tx, account, generation, now=now), ended)

    def _reset(
        self, tx: Connection, account: Account, caller: Caller, *, now: datetime
    ) -> Removed | Refused:
        generation = self._changes.raise_generation(tx, account, (), awaits_enrollment=True)
        if generation is None:
            return CHANGED
        self._changes.remove_every_factor(tx, account)
        self._record(tx, EventType.FACTORS_RESET, account, None, caller, now=now)
        ended = self._changes.end_all(tx, account, now=now)
        return Removed(self._issue_link(tx, account, generation, now=now), ended)

    def _issue_link(
        self, tx: Connection, account: Account, generation: int, *, now: datetime
    ) -> str:
        """Return the way back, and mail it as well where that is possible."""
        link = issue_link(
            tx, self._parts, self._verifying, account.subject, generation=generation, now=now
        )
        post_enrollment_link(tx, self._parts, account, link, now=now)
        return link

    def _describe(
        self, db: Connection, account: Account
    ) -> Mapping[str, Mapping[str, str | bool | None]]:
        return describe_all(self._parts.factors, db, account.subject)

    def _record(
        self,
        tx: Connection,
        type_: EventType,
        account: Account,
        authenticator: Authenticator | None,
        caller: Caller,
        *,
        now: datetime,
    ) -> None:
        details = {}
        if authenticator is not None:
            details = {"label": authenticator.label, "authenticator": authenticator.id}
        audit.record(
            tx,
            Event(
                type_,
                now,
                caller,
                subject=account.subject,
                method=authenticator.method if authenticator else None,
                details=details,
            ),
        )
