"""Table of the networks and browsers that an account has fully signed in from."""

from sqlalchemy import Column, Index, LargeBinary, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

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
