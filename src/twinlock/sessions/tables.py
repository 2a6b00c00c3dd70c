"""Table of sessions."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from twinlock.db.base import metadata, partial_index
from twinlock.db.types import Id, UtcDateTime

session = Table(
    "session",
    metadata,
    Column("id", Id, primary_key=True),  # the `sid`, a handle; never a secret
    Column("subject_id", Id, nullable=False),
    Column("generation", BigInteger, nullable=False),  # alive only while it is the subject's
    Column("seal", LargeBinary, nullable=False),  # MAC over what must not change; see store.py
    Column("cookie_digest", LargeBinary, unique=True),  # null: a session of bearer tokens
    Column("refresh_counter", Integer, nullable=False),  # how often the family has rotated
    Column("rotated_at", UtcDateTime, nullable=False),
    Column("acr", String(8), nullable=False),
    Column("amr", String(64), nullable=False),  # separated by one space
    Column("auth_time", UtcDateTime, nullable=False),
    Column("scope", Text, nullable=False),  # separated by one space
    Column("ip", String(45)),  # null: unknown, as on a Unix socket
    Column("user_agent", String(255)),  # null: none sent
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("idle_until", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),  # null: alive
    Column("changed_at", UtcDateTime, nullable=False, index=True),  # the database's own clock
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_session_subject_id_created_at", "subject_id", "created_at"),
)
partial_index("ix_session_ended_at", session.c.ended_at, where=session.c.ended_at.is_not(None))
