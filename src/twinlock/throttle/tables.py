"""Tables of counted tries, and of the networks and browsers that an account signed in from."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from twinlock.db.base import metadata, partial_index
from twinlock.db.types import Id, UtcDateTime

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

familiar = Table(
    "familiar",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("kind", String(8), primary_key=True),  # network, browser
    Column("digest", LargeBinary, primary_key=True),  # keyed, of the network or the cookie
    Column("seen_at", UtcDateTime, nullable=False),  # last full sign-in, to the day
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_familiar_kind_seen_at", "kind", "seen_at"),
)
