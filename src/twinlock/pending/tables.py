"""Table of what is begun and not yet finished: logins, enrollments, reauthentications."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, String, Table, Text

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

pending = Table(
    "pending",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of the handle that the client holds
    Column("purpose", String(16), nullable=False),  # see Purpose
    Column("subject_id", Id, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("session_id", Id),  # null: begun by a login, not by a session
    Column("method", String(32)),  # the factor being enrolled; null for the other purposes
    Column("acr", String(8)),  # what a reauthentication is to reach; null otherwise
    Column("proven_at", UtcDateTime),  # when the password was shown; null for the other purposes
    Column("scope", Text, nullable=False),
    Column("state", LargeBinary),  # the factor's own, sealed; null: it needs none
    Column("tries", SmallInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_pending_subject_id_purpose_created_at", "subject_id", "purpose", "created_at"),
)
