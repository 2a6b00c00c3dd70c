"""Table of the audit chain: one row for each batch of events, each over the one before."""

from sqlalchemy import Column, Integer, LargeBinary, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

audit_chain = Table(
    "audit_chain",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3, … without a gap
    Column("from_id", Id, nullable=False),  # its first event
    Column("to_id", Id, nullable=False),  # its last event; the next batch begins after it
    Column("events", Integer, nullable=False),
    Column("events_digest", LargeBinary, nullable=False),  # keyed, over the events
    Column("digest", LargeBinary, nullable=False),  # keyed, over this row and the digest before
    Column("created_at", UtcDateTime, nullable=False),
)
