"""Table of mails on their way out: written with what they tell, delivered afterwards."""

from sqlalchemy import Column, LargeBinary, SmallInteger, String, Table

from twinlock.db.base import metadata, partial_index
from twinlock.db.types import Id, UtcDateTime

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject_id", Id),  # null: who it is about is found out when it is worked on
    Column("sealed", LargeBinary),  # whom and what; null: delivered, expired or void
    Column("attempts", SmallInteger, nullable=False),  # also tells whose claim is the last
    Column("due_at", UtcDateTime, nullable=False),  # the next attempt; a claim moves it ahead
    Column("expires_at", UtcDateTime, nullable=False),  # then it is wiped
    Column("delivered_at", UtcDateTime),  # null: not yet, or never
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("given_up_at", UtcDateTime),  # null: not, or somebody had it tried again
    Column("error", String(100)),  # of the last try that failed; null: none did
)
partial_index(
    "ix_outbox_given_up",
    outbox.c.created_at,
    outbox.c.id,
    where=outbox.c.given_up_at.is_not(None),
)
partial_index("ix_outbox_due_at", outbox.c.due_at, where=outbox.c.sealed.is_not(None))
