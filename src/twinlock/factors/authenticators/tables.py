"""Table of every account's authenticators, whatever their method."""

from sqlalchemy import Column, Index, SmallInteger, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

authenticator = Table(
    "authenticator",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subject_id", Id, nullable=False),
    Column("method", String(32), nullable=False),
    Column("label", String(64), nullable=False),
    Column("code_digits", SmallInteger),  # null: its answers are not typed digits
    Column("last_used_at", UtcDateTime),  # null: not since it was enrolled
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_authenticator_subject_id", "subject_id"),
)
