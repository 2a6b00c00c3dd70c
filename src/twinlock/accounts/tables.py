"""Tables of Twinlock's own accounts, and of the subject behind every account."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    literal,
)

from twinlock.db.base import metadata, partial_index
from twinlock.db.types import Id, UtcDateTime

account = Table(
    "account",
    metadata,
    Column("id", Id, primary_key=True),
    Column("username", String(255), nullable=False),
    Column("username_key", String(255), nullable=False, unique=True),
    Column("email", String(320)),  # null: none given
    Column("email_key", String(320)),
    Column("email_verified_at", UtcDateTime),  # null: not yet, so it signs nobody in
    Column("full_name", String(255)),
    Column("name_key", String(255)),  # its beginning, folded, to search by; null: no name
    Column("language", String(8)),  # null: not chosen yet
    Column("roles", Text, nullable=False),  # sorted, separated by one space
    Column("disabled_at", UtcDateTime),  # null: enabled
    Column("password_hash", Text),  # null: the account has no password
    Column("password_scheme", String(64), index=True),  # the hash's scheme and cost
    Column("password_changed_at", UtcDateTime),
    Column("password_mailed_at", UtcDateTime),  # set while a mailed link chose the password
    Column("password_expires_at", UtcDateTime),  # set while a first password must be changed
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_account_email_key_username_key", "email_key", "username_key"),
    Index("ix_account_created_at_id", "created_at", "id"),
    Index("ix_account_name_key_username_key", "name_key", "username_key"),
)

# Written out in the statement: only the very condition of a partial index lets a query use it.
_BLANK: Final = literal(" ", literal_execute=True)
IS_ADMIN: Final[ColumnElement[bool]] = (_BLANK + account.c.roles + _BLANK).like(
    literal("% admin %", literal_execute=True)
)
partial_index(
    "ix_account_admins",
    account.c.created_at,
    account.c.id,
    account.c.disabled_at,  # or SQLite rather reads every account than this index
    where=IS_ADMIN,
)
partial_index(
    "ix_account_disabled",
    account.c.created_at,
    account.c.id,
    where=account.c.disabled_at.is_not(None),
)
# Until somebody has verified an address, it keeps nobody else from it.
partial_index(
    "uq_account_email_key_verified",
    account.c.email_key,
    where=account.c.email_verified_at.is_not(None),
    unique=True,
)

subject = Table(
    "subject",
    metadata,
    Column("id", Id, primary_key=True),  # the `sub`: kept after deletion, never given out again
    Column("host_id", String(255), nullable=False),  # our account's id, or the host application's
    Column("generation", BigInteger, nullable=False),
    Column("seal", LargeBinary, nullable=False),  # MAC over generation and authenticators
    # Its factors were reset: no password opens a session until one is enrolled. Sealed as well.
    Column("awaits_enrollment", Boolean, nullable=False),
    Column("since", UtcDateTime),  # when the host says that this account began
    Column("signed_in_at", UtcDateTime),  # null: never yet
    Column("closed_at", UtcDateTime),  # null: the account exists
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_subject_host_id", "host_id"),
)
partial_index(
    "uq_subject_host_id_open", subject.c.host_id, where=subject.c.closed_at.is_(None), unique=True
)
