"""Table of the mailboxes that sign-in codes go to."""

from sqlalchemy import Column, LargeBinary, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

email_code = Table(
    "email_code",
    metadata,
    Column("authenticator_id", Id, primary_key=True),
    Column("subject_id", Id, nullable=False, index=True),
    Column("address", String(320), nullable=False),
    Column("tag", LargeBinary, nullable=False),  # keyed digest of account, row and address
    Column("created_at", UtcDateTime, nullable=False),
)
