"""Table of TOTP keys."""

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

totp = Table(
    "totp",
    metadata,
    Column("authenticator_id", Id, primary_key=True),
    Column("subject_id", Id, nullable=False, index=True),
    Column("key", LargeBinary, nullable=False),  # sealed
    Column("digits", SmallInteger, nullable=False),
    Column("period_seconds", SmallInteger, nullable=False),
    Column("algorithm", String(8), nullable=False),
    Column("last_step", BigInteger, nullable=False),  # spent for good, and all before it
    Column("created_at", UtcDateTime, nullable=False),
)
