"""How far the reminders before a policy's date have come."""

from sqlalchemy import Boolean, Column, Integer, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

policy_reminder = Table(
    "policy_reminder",
    metadata,
    Column("due_at", UtcDateTime, primary_key=True),  # when more will be demanded
    Column("days_before", Integer, primary_key=True),
    Column("after_moment", UtcDateTime, nullable=False),  # creation of the last account reminded
    Column("after_id", Id, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
