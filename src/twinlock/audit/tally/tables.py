"""Table of what was counted hour by hour, so that a page need not count it again."""

from sqlalchemy import BigInteger, Column, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import UtcDateTime

tally = Table(
    "tally",
    metadata,
    Column("kind", String(48), primary_key=True),  # the type of events, or what else was counted
    Column("hour", UtcDateTime, primary_key=True, index=True),  # its beginning
    Column("number", BigInteger, nullable=False),
)
