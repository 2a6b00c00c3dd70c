"""What a factor is: the file to read first.

A factor is one object with one attribute and four methods. Enrolling and verifying are
ceremonies of two halves; between them the client holds the options and the server the
state, sealed with the pending login, enrollment or reauthentication.

Adding a factor costs one folder, two templates, one line in ``composition.py`` and one migration,
and it must pass the shared suite in ``tests/factors/suite.py``: works once, not twice, not
for another account, not after removal, not with garbage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from sqlalchemy import Connection

from twinlock.core.proof import Rejected, SubjectId, Verified


@dataclass(frozen=True, slots=True)
class MailedCode:
    """A code that reaches its owner by mail, and in no other way."""

    to: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The first half of a ceremony.

    Attributes:
        options: Goes to the client as JSON.
        state: Stays on the server, sealed; None when the factor needs none.
        mailed: What the flow is to mail, where the factor's answer comes by mail.
    """

    options: dict[str, Any] = field(default_factory=dict, repr=False)
    state: bytes | None = field(default=None, repr=False)
    mailed: MailedCode | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """A part of what a factor keeps sealed, looked through in the order of ids.

    Attributes:
        last: The id after which the next batch begins.
        resealed: How many values are under the newest master key since.
        broken: Ids of authenticators whose values do not open; left as they are.
    """

    last: str
    resealed: int = 0
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom an enrollment is for, in words that an authenticator app may show.

    Attributes:
        email: The account's verified address; None where there is none.
    """

    account: SubjectId
    name: str
    display_name: str
    email: str | None = None


class Factor(Protocol):
    """A second factor. Every method runs in the flow's transaction and decides nothing else."""

    method: ClassVar[str]
    """Its name in URLs, rows, audit events and template names."""

    is_short_code: ClassVar[bool]
    """Whether its answers can be guessed, so that a hundred wrong ones in a row stop it."""

    is_phishing_resistant: ClassVar[bool]
    """Whether no relayed page can pass its answer on (SP 800-63B-4 on phishing resistance)."""

    is_mailed: ClassVar[bool]
    """Whether its answer comes by mail: it is asked for by itself, and an offer sends nothing."""

    code_digits: ClassVar[int | None]
    """How many digits its codes have; None where none is at hand together with the password."""

    max_per_account: ClassVar[int]
    """How many of them an account may enroll."""

    def begin_enrollment(self, db: Connection, holder: Holder, *, now: datetime) -> Prompt:
        """Return what the client needs to enroll a new authenticator."""
        ...

    def finish_enrollment(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        state: bytes,
        answer: object,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Store the new authenticator under its id if *answer* confirms it."""
        ...

    def import_authenticator(
        self,
        db: Connection,
        account_id: SubjectId,
        authenticator_id: str,
        uri: str,
        *,
        now: datetime,
    ) -> int | Rejected | None:
        """Store an authenticator from elsewhere; return how many digits its codes have."""
        ...

    def begin_verification(self, db: Connection, account_id: SubjectId, *, now: datetime) -> Prompt:
        """Return what the client needs to answer."""
        ...

    def finish_verification(
        self,
        db: Connection,
        account_id: SubjectId,
        state: bytes | None,
        answer: object,
        *,
        now: datetime,
    ) -> Verified | Rejected:
        """Check *answer* and spend it, by one conditional statement whose row count decides."""
        ...

    def remove(self, db: Connection, account_id: SubjectId, authenticator_id: str) -> None:
        """Delete what this factor keeps of one authenticator."""
        ...


@runtime_checkable
class NamesAccounts(Protocol):
    """A factor whose answer names its account: it can replace password and second factor."""

    method: ClassVar[str]

    def begin_discovery(self, *, now: datetime) -> Prompt:
        """Return what the client needs to answer for an account that it has not named yet."""
        ...

    def account_of(self, db: Connection, answer: object) -> SubjectId | None:
        """Return the account that an answer claims to come from; nothing of it is checked yet."""
        ...

    def claimed_by(self, answer: object) -> str:
        """Return what an answer claims to come from; empty where it claims nothing."""
        ...


@runtime_checkable
class Describes(Protocol):
    """A factor that knows more of its authenticators than their labels."""

    def describe(
        self, db: Connection, account_id: SubjectId
    ) -> Mapping[str, Mapping[str, str | bool | None]]:
        """Return what people may want to know, by authenticator id."""
        ...


@dataclass(frozen=True, slots=True)
class RecoveryCodesLeft:
    """What is left of an account's recovery codes.

    Attributes:
        made_at: When the set was made; None where no code is left.
        are_kept: Whether the account's owner has shown that the set was kept.
    """

    count: int
    made_at: datetime | None
    are_kept: bool


class RecoverySet(Protocol):
    """The recovery codes of every account: a set comes with the first factor, dies with the last.

    They answer like a factor (see `Factor`), but are never enrolled and never an authenticator.
    """

    method: ClassVar[str]

    def create(self, db: Connection, account_id: SubjectId, *, now: datetime) -> list[str]:
        """Void the old set, store a new one, and return it in the form that people copy."""
        ...

    def remove_all(self, db: Connection, account_id: SubjectId) -> None:
        """Void an account's set."""
        ...

    def void_everything(self, db: Connection) -> int:
        """Void everybody's sets, after a backup was put back; return how many codes that were."""
        ...

    def count_left(self, db: Connection, account_id: SubjectId) -> int:
        """Return how many codes are left."""
        ...

    def look(self, db: Connection, account_id: SubjectId) -> RecoveryCodesLeft:
        """Return what is left of an account's set."""
        ...

    def note_kept(self, db: Connection, account_id: SubjectId, *, now: datetime) -> None:
        """Note that an account's set was kept."""
        ...

    def holds(self, db: Connection, account_id: SubjectId, answer: str) -> bool:
        """Tell whether *answer* is one of an account's codes, and spend nothing."""
        ...
