"""Mails before a policy's date to those whom it would ask to enroll: seven days before, and one.

A round goes over all accounts once, batch by batch; a batch is taken in the transaction that writes
its mails, so that of several workers one writes them, and one that dies has written none.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from twinlock.accounts import store as accounts
from twinlock.accounts.directory import Account
from twinlock.core.proof import Acr
from twinlock.factors.authenticators import store as authenticators
from twinlock.flows import mailing
from twinlock.flows.parts import Parts
from twinlock.flows.policy_reach import best_acr
from twinlock.mail.letters import Kind, sentence_of
from twinlock.policies.policy import Policy, demands_on
from twinlock.policies.reminders import store as rounds
from twinlock.policies.reminders.store import Round

DAYS_BEFORE: Final = (1, 7)
"""The nearest first: a policy that is set late reminds once, and not of every day missed."""
BATCH: Final = 200


class Reminders:
    """Reminds by mail; the reply of each sign-in does so anyway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def work(self, *, now: datetime) -> int:
        """Write what is due, and return how many accounts were looked at."""
        if self._parts.mail is None or not self._parts.accounts.are_ours:
            return 0
        database = self._parts.database
        coming = [one for one in database.reading(self._parts.policies.read) if one.since > now]
        looked_at = 0
        reminding = {one.since for one in coming if one.reminds and one.acr is not Acr.AAL1}
        for due_at in sorted(reminding):
            days = _step(due_at, now=now)
            if days is None:
                continue
            database.transaction(rounds.begin_round, due_at, days, now=now)
            while done := database.transaction(self._remind, due_at, days, now=now):
                looked_at += done
        database.transaction(rounds.expire, now=now)
        return looked_at

    def _remind(self, tx: Connection, due_at: datetime, days: int, *, now: datetime) -> int:
        """Take the next batch and write its mails; 0 at the end, or where another took it."""
        current = rounds.get_round(tx, due_at, days)
        if current is None or current.is_done:
            return 0
        batch = accounts.list_accounts(tx, after=current.after, limit=BATCH)
        if not self._take(tx, current, batch):
            return 0
        policies = self._parts.policies.read(tx)
        for one in self._lacking(tx, policies, batch, due_at, now=now):
            self._mail(tx, policies, one, now=now)
        return len(batch)

    def _take(self, tx: Connection, current: Round, batch: Sequence[Account]) -> bool:
        after = (batch[-1].created_at, batch[-1].host_id) if batch else current.after
        return rounds.advance(tx, current, after=after, is_done=len(batch) < BATCH)

    def _lacking(
        self,
        db: Connection,
        policies: Sequence[Policy],
        batch: Sequence[Account],
        due_at: datetime,
        *,
        now: datetime,
    ) -> list[Account]:
        """Return whom the date will ask for something that they do not have."""
        methods = authenticators.find_methods(db, [one.subject for one in batch])
        lacking = []
        for one in batch:
            demands = demands_on(policies, one.subject, one.roles, now=now)
            best = best_acr(self._parts, methods.get(one.subject, ()))
            is_due = demands.reminds and demands.reminder(best) == due_at
            if is_due and not one.is_disabled:
                lacking.append(one)
        return lacking

    def _mail(
        self, tx: Connection, policies: Sequence[Policy], one: Account, *, now: datetime
    ) -> None:
        demands = demands_on(policies, one.subject, one.roles, now=now)
        if self._parts.mail is None or demands.due is None:
            return
        kind = Kind.PASSKEY_DUE if demands.next_acr is Acr.PHR else Kind.SECOND_FACTOR_DUE
        values = {
            "due": sentence_of(demands.due),
            "link": self._parts.mail.letterhead.link("account"),
        }
        mailing.notify(tx, self._parts, one, kind, values=values, now=now)


def _step(due_at: datetime, *, now: datetime) -> int | None:
    """Return the nearest step before a date that has come; None before all of them."""
    left = due_at - now
    return next((days for days in DAYS_BEFORE if left <= timedelta(days=days)), None)
