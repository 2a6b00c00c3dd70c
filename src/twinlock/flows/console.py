"""What the admin console shows, in one place for whoever draws it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from twinlock.core.principal import User
from twinlock.core.proof import SubjectId
from twinlock.flows.account_listing import FoundPage, Wanted, find_accounts
from twinlock.flows.account_states import judge_of
from twinlock.flows.attention import Point, read_attention
from twinlock.flows.changes import Changes
from twinlock.flows.figures import Figures, read_figures
from twinlock.flows.overview import Overview, read_overview_of
from twinlock.flows.parts import Parts
from twinlock.flows.policy_preview import Preview, preview
from twinlock.policies.policy import Kind, Policy


class Console:
    """Reads for admins; changes nothing."""

    def __init__(self, parts: Parts, changes: Changes) -> None:
        self._parts = parts
        self._changes = changes

    def look(self, *, now: datetime) -> tuple[Figures, Sequence[Point]]:
        """Return the figures, and what needs attention."""
        figures = read_figures(self._parts, now=now)
        return figures, read_attention(self._parts, figures, now=now)

    def find_accounts(
        self, wanted: Wanted, *, cursor: str | None, limit: int, now: datetime
    ) -> FoundPage:
        """Return a page of the accounts that are looked for.

        Raises:
            InvalidCursorError: The cursor is not one of this list.
        """
        judge = judge_of(self._parts, wanted.state, now=now)
        return find_accounts(self._parts, wanted, cursor=cursor, limit=limit, judge=judge)

    def open(self, subject: SubjectId, *, now: datetime) -> Overview | None:
        """Return everything about one account; None where there is none."""
        return read_overview_of(self._parts, self._changes, subject, now=now)

    def list_policies(self) -> Sequence[tuple[Policy, str | None]]:
        """Return every policy, with the username of the account that it is for."""
        return self._parts.database.reading(self._list_policies)

    def _list_policies(self, db: Connection) -> list[tuple[Policy, str | None]]:
        found: list[tuple[Policy, str | None]] = []
        for policy in self._parts.policies.read(db):
            is_one = policy.kind is Kind.ACCOUNT
            account = self._parts.accounts.get(db, SubjectId(policy.name)) if is_one else None
            found.append((policy, account.username if account else None))
        return found

    def preview_policy(self, new: Policy, admin: User, *, since: str, now: datetime) -> Preview:
        """Return whom a policy would hit."""
        return preview(self._parts, new, admin, since=since, now=now)
