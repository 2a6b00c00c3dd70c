"""Resets of factors that an admin asked for and that still wait."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

factor_reset = Table(
    "factor_reset",
    metadata,
    Column("subject_id", Id, primary_key=True),  # one at a time for each account
    Column("generation", BigInteger, nullable=False),  # the account's: it dies with it
    Column("requested_by", Id, nullable=False),
    Column("approved_by", Id),  # null: nobody has yet
    Column("requested_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("seal", LargeBinary, nullable=False),  # MAC over all of it; see store.py
    Index("ix_factor_reset_due_at", "due_at"),
)
