"""Other e-mail addresses that an admin asked for, and that still wait."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

staged_email = Table(
    "staged_email",
    metadata,
    Column("subject_id", Id, primary_key=True),  # one at a time for each account
    Column("generation", BigInteger, nullable=False),  # the account's: it dies with it
    Column("email", Text, nullable=False),
    Column("requested_by", Id, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_staged_email_due_at", "due_at"),
)
