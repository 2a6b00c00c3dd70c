"""Table of counted tries."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from twinlock.db.base import metadata, partial_index
from twinlock.db.types import UtcDateTime

_in_a_row = Column("in_a_row", Integer, nullable=False)  # tries since the last right answer

throttle = Table(
    "throttle",
    metadata,
    Column("key", LargeBinary, primary_key=True),  # keyed digest of what is counted for
    Column("rule", String(32), nullable=False),
    Column("recent", LargeBinary, nullable=False),  # moments of the last tries, see policy.py
    _in_a_row,
    Column("expires_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # A row of wrong answers is kept until a right one ends it.
    partial_index("ix_throttle_expires_at", "expires_at", where=_in_a_row == 0),
)
