"""Table of trusted devices."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

trusted_device = Table(
    "trusted_device",
    metadata,
    Column("id", Id, primary_key=True),  # a handle; never a secret
    Column("subject_id", Id, nullable=False),
    Column("generation", BigInteger, nullable=False),  # trusted only while it is the subject's
    Column("seal", LargeBinary, nullable=False),  # MAC over what must not change; see store.py
    Column("cookie_digest", LargeBinary, nullable=False),  # of the one secret that is current
    Column("ip", String(45)),  # where it was used last; null: unknown, as on a Unix socket
    Column("user_agent", String(255)),  # null: none sent
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_trusted_device_subject_id_created_at", "subject_id", "created_at"),
)
