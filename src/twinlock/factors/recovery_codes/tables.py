"""Table of recovery codes that are not yet spent."""

from sqlalchemy import Column, LargeBinary, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

recovery_code = Table(
    "recovery_code",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # keyed, over account and code
    Column("subject_id", Id, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("kept_at", UtcDateTime),  # null: its owner has not shown that the set was kept
)
