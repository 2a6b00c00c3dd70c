"""Taking accounts over from elsewhere, one by one, so that a run can be repeated."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from twinlock.accounts.directory import Account
from twinlock.accounts.names import (
    EmailProblem,
    UsernameProblem,
    check_email,
    check_username,
)
from twinlock.audit.events import Caller
from twinlock.factors.protocol import Factor
from twinlock.flows.account_making import TAKEN, Imported, NewAccount
from twinlock.flows.administration import Administration
from twinlock.flows.outcomes import Refused

TWICE: Final = Refused("twice", "The file names this user a second time.")
EMAIL_TAKEN: Final = Refused("email_taken", "Another account has this e-mail address.")


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The account was made, or in a rehearsal would have been."""

    username: str


@dataclass(frozen=True, slots=True)
class Existing:
    """There is an account of this name already; it was left as it is."""

    username: str


class Importing:
    """One run over a file.

    Each account is made in a transaction of its own, its authenticator included. What a run
    made stays made when it is broken off, and the next run finds it there.
    """

    def __init__(
        self, administration: Administration, factor: Factor, *, is_rehearsal: bool
    ) -> None:
        """Begin a run.

        Args:
            administration: Makes the accounts.
            factor: Keeps the authenticators that come along.
            is_rehearsal: Whether to say only what would be done.
        """
        self._administration = administration
        self._factor = factor
        self._is_rehearsal = is_rehearsal
        self._seen: set[str] = set()

    def take_over(
        self, new: NewAccount, uri: str | None, label: str, caller: Caller, *, now: datetime
    ) -> TakenOver | Existing | Refused:
        """Make the account *new*, with the authenticator of the ``otpauth`` URI *uri*, if any."""
        username = check_username(new.username)
        if isinstance(username, UsernameProblem):
            return Refused(username.value, username.sentence)
        if self._is_second(username.key):
            return TWICE
        if self._is_rehearsal:
            return self._rehearse(new, username.text)
        imported = [Imported(self._factor, uri, label)] if uri else []
        made = self._administration.import_account(new, imported, caller, now=now)
        match made:
            case Account():
                return TakenOver(made.username)
            case Refused() if made == TAKEN:
                existing = self._administration.find(username.text)
                return Existing(existing.username) if existing else EMAIL_TAKEN
            case refused:
                return refused

    def _rehearse(self, new: NewAccount, username: str) -> TakenOver | Existing | Refused:
        if existing := self._administration.find(username):
            return Existing(existing.username)
        if new.email is not None:
            email = check_email(new.email)
            if isinstance(email, EmailProblem):
                return Refused(email.value, email.sentence)
            if self._is_second(email.key) or self._administration.find(email.text):
                return EMAIL_TAKEN
        return TakenOver(username)

    def _is_second(self, key: str) -> bool:
        """Remember a name or an address; they share one set, because no name contains an @."""
        if key in self._seen:
            return True
        self._seen.add(key)
        return False
