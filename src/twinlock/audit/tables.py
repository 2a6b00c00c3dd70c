"""Table of security events."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, Text

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

event = Table(
    "event",
    metadata,
    Column("id", Id, primary_key=True),  # UUIDv7: ordered by time
    Column("type", String(48), nullable=False),
    Column("subject_id", Id),  # null: an account that does not exist, or none concerned
    Column("actor", String(64)),  # null: the subject itself; `cli:<user>` for an operator
    Column("name_digest", LargeBinary),  # keyed digest of an unknown name
    Column("reason", String(32)),
    Column("method", String(32)),
    Column("session_id", Id),
    Column("ip", String(45)),
    Column("user_agent", String(255)),
    Column("details", Text, nullable=False),  # a JSON object
    # Repeated throttled denials of one bucket and window are one row that counts them.
    Column("repeat_key", LargeBinary, unique=True),
    Column("count", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Index("ix_event_subject_id_id", "subject_id", "id"),
    Index("ix_event_type_id", "type", "id"),
)
