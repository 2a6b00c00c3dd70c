"""What the flows ask about accounts, wherever they live: the one small door to them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from twinlock.core.proof import SubjectId


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it was read, with the subject that everything of it hangs on.

    Attributes:
        host_id: The id in the table that the account lives in.
        generation: Rises with every change of password, factors, e-mail or disabled state.
        seal: MAC over generation and authenticators; see ``factors/authenticators``.
        awaits_enrollment: Its factors were reset; nothing opens until one is enrolled.
        password_hash: None where there is no password, or the directory checks it itself.
        password_expires_at: Set while a first password is to be changed; dead after it.
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

    @property
    def must_change_password(self) -> bool:
        """Whether the account is held to its own pages until its first password is changed."""
        return self.password_expires_at is not None


class Directory(Protocol):
    """Finds accounts. Twinlock's own is `accounts/store.OwnAccounts`."""

    def find(self, db: Connection, login: str) -> Account | None:
        """Return the account that *login* (a username or a verified e-mail address) names."""
        ...

    def get(self, db: Connection, subject: SubjectId) -> Account | None:
        """Return the open account of *subject*."""
        ...
