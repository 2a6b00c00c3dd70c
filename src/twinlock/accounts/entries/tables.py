"""What a host's directory told of its accounts, so that no request has to wait for it."""

from sqlalchemy import Boolean, Column, Table, Text

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

directory_entry = Table(
    "directory_entry",
    metadata,
    Column("subject_id", Id, primary_key=True),
    Column("username", Text, nullable=False),
    Column("email", Text),  # null: none told
    Column("full_name", Text),
    Column("roles", Text, nullable=False),  # sorted, separated by one space
    Column("is_disabled", Boolean, nullable=False),
    Column("asked_at", UtcDateTime),  # null: to be asked again before anything else
    Column("created_at", UtcDateTime, nullable=False),
)
