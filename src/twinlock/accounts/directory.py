"""What the flows ask about accounts, wherever they live, and what a host tells of its own.

`Directory` is the host's side: it answers with a `DirectoryEntry`. `Accounts` is ours: it makes
of it, or of our own table, the `Account` that every flow works with.
"""

import json
from collections.abc import Awaitable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import UnionType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar, runtime_checkable
from uuid import UUID

from twinlock.core.errors import DirectoryError
from twinlock.core.proof import SubjectId

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]
"""What a plain function returns, or an ``async`` one."""

ASKED: ContextVar[frozenset[str]] = ContextVar("twinlock_asked", default=frozenset())
"""The ids of which a host's directory was asked for the very step that runs now."""

_MAX_ID_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """What a host tells of one of its accounts.

    Attributes:
        id: The stable id of the account. Its text is what `Directory.get` is given.
        username: What it is shown as.
        email: For display; the host decides who may sign in with it.
        password_hash: bcrypt ``$2b$``, Argon2, PBKDF2 or scrypt; None where there is no
            password, or the directory checks it itself (`ChecksPasswords`).
        disabled: Keeps the account from everything.
        roles: What it may do; none of them contains a space.
        since: When this account began. Another one than we know means another account under
            the same id: it inherits neither second factors nor sessions.
    """

    id: int | str | UUID
    username: str
    email: str | None = None
    full_name: str | None = None
    password_hash: str | None = field(default=None, repr=False)
    disabled: bool = False
    roles: Collection[str] = ()
    since: datetime | None = None

    @property
    def host_id(self) -> str:
        """The id as text.

        Raises:
            DirectoryError: It is empty, or longer than 255 characters.
        """
        return host_id_of(self.id)

    @property
    def sorted_roles(self) -> tuple[str, ...]:
        """The roles, each once.

        Raises:
            DirectoryError: One of them is two words.
        """
        roles = tuple(sorted(set(self.roles)))
        if any(len(role.split()) != 1 for role in roles):
            raise DirectoryError("a role is one word")
        return roles

    @property
    def began_at(self) -> datetime | None:
        """`since` with its timezone: a moment without one is taken as UTC, as SQLite keeps it."""
        since = self.since
        return since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since


_KINDS: Final[tuple[tuple[str, type | UnionType], ...]] = (
    ("username", str),
    ("email", str | None),
    ("full_name", str | None),
    ("password_hash", str | None),
    ("disabled", bool),
    ("since", datetime | None),
)
_KEPT: Final = frozenset({"username", "email", "full_name"})
_ROLES_IN_A_TOKEN: Final = 4_096
"""Characters, as a token spells them; a token may have twice as many."""


def flaw_in(entry: DirectoryEntry) -> str | None:
    """Return what a directory that no type checker has seen told wrongly; None for nothing."""
    host_id: object = entry.id
    if host_id is None:
        return "id is missing"
    for name, kind in _KINDS:
        value = getattr(entry, name)
        if not isinstance(value, kind):
            return f"{name} is of type {type(value).__name__}"
        if name in _KEPT and isinstance(value, str) and not is_storable(value):
            return f"{name} is no text that a database can hold"
    try:
        if entry.began_at is not None:
            entry.began_at.astimezone(UTC)
    except OverflowError:
        return "since is a moment that no calendar has"
    return _flaw_in_roles(entry.roles)


def _flaw_in_roles(roles: object) -> str | None:
    if isinstance(roles, str) or not isinstance(roles, Collection):
        return "roles are a collection of words, and no text"
    if not all(isinstance(role, str) and is_storable(role) for role in roles):
        return "a role is a word"
    is_too_much = len(json.dumps(list(roles))) > _ROLES_IN_A_TOKEN
    return "roles are more than a token can hold" if is_too_much else None


def is_storable(text: str) -> bool:
    """Tell whether a database can hold the text at all: no NUL, no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def host_id_of(account_id: int | str | UUID) -> str:
    """Return a host's id as we keep it.

    Raises:
        DirectoryError: It is empty, or longer than 255 characters.
    """
    text = str(account_id)
    if not 0 < len(text) <= _MAX_ID_LENGTH or not is_storable(text):
        raise DirectoryError("an account's id is a text of 1 to 255 characters")
    return text


class Directory(Protocol):
    """The host's own users: ``Twinlock(directory=…)``.

    Its methods may be ``async``: those are called on the event loop, the others on a thread of
    ours; neither inside a transaction of ours. Both read the database at each call.
    """

    def find(self, login: str) -> MaybeAwaitable[DirectoryEntry | None]:
        """Return the account that a person may sign in to under the name *login*.

        Args:
            login: What was typed: any text at all.

        Returns:
            The account, disabled ones included; None where nobody has that name.
        """
        ...

    def get(self, account_id: str) -> MaybeAwaitable[DirectoryEntry | None]:
        """Return the account of an id, disabled ones included; None when it is deleted.

        Args:
            account_id: The text of an id that was told before, or of one that never was.
        """
        ...


@runtime_checkable
class ChecksPasswords(Protocol):
    """A directory that checks passwords itself, instead of showing their hashes."""

    def check_password(self, entry: DirectoryEntry | None, password: str) -> MaybeAwaitable[bool]:
        """Tell whether the password is right. With None, take as long and say no."""
        ...


@runtime_checkable
class TellsHashes(Protocol):
    """A directory that shows which hashes it holds.

    A name that nobody has is checked against a hash of the same kinds, so that the time of
    the answer tells nothing.
    """

    def some_hashes(self) -> MaybeAwaitable[Collection[str]]:
        """Return password hashes of some hundred accounts, picked without regard to them."""
        ...


@runtime_checkable
class UpgradesHashes(Protocol):
    """A directory that takes stronger hashes of the same passwords."""

    def upgrade_hash(
        self, account_id: str, *, verified: str, password_hash: str
    ) -> MaybeAwaitable[None]:
        """Store *password_hash* if the account's hash still is *verified*."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it was read, with the subject that everything of it hangs on.

    Attributes:
        host_id: The id in the table that the account lives in.
        generation: Rises with every change of password, factors, e-mail or disabled state.
        seal: MAC over generation and authenticators; see ``factors/authenticators``.
        awaits_enrollment: Its factors were reset; nothing opens until one is enrolled.
        is_email_verified: Whether mail may go there, and sign-ins name it.
        password_hash: None where there is no password, or the directory checks it itself.
        password_expires_at: Set while a first password is to be changed; dead after it.
        password_mailed_at: When a mailed link set the password; None where none did.
        entry: What the host's directory told just now; None where it was not asked.
        language: Of its pages and mails; None while it is not known.
        is_new: Its subject has not been written yet: nobody has signed in to it.
    """

    subject: SubjectId
    host_id: str
    generation: int
    seal: bytes = field(repr=False)
    awaits_enrollment: bool
    username: str
    email: str | None
    full_name: str | None
    roles: tuple[str, ...]
    is_disabled: bool
    password_hash: str | None = field(repr=False)
    password_expires_at: datetime | None
    created_at: datetime
    entry: DirectoryEntry | None = None
    is_new: bool = False
    language: str | None = None
    is_email_verified: bool = False
    password_mailed_at: datetime | None = None

    @property
    def must_change_password(self) -> bool:
        """Whether the account is held to its own pages until its first password is changed."""
        return self.password_expires_at is not None


class Accounts(Protocol):
    """Finds accounts for the flows: `accounts/store.OwnAccounts`, `flows/host_accounts`.

    Attributes:
        are_ours: Whether they live in our own table, so that we may change them.
    """

    are_ours: bool

    def find(
        self, db: "Connection", login: str, entry: DirectoryEntry | None = None
    ) -> Account | None:
        """Return the account that *login* (a username or a verified e-mail address) names.

        Args:
            entry: What the host's directory answered to *login*.
        """
        ...

    def get(self, db: "Connection", subject: SubjectId) -> Account | None:
        """Return the open account of *subject*."""
        ...

    def get_fresh(self, db: "Connection", subject: SubjectId) -> Account | None:
        """Return the same, as the host's directory tells it for this very step."""
        ...

    def write_subject(self, tx: "Connection", account: Account, *, now: datetime) -> None:
        """Write the subject of an account that somebody signs in to for the first time."""
        ...
