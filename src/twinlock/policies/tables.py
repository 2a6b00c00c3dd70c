"""Table of the policies: one row that holds them all, under one seal."""

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, Table, Text

from twinlock.db.base import metadata
from twinlock.db.types import UtcDateTime

policy = Table(
    "policy",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),  # always 1
    Column("document", Text, nullable=False),  # every policy, as JSON
    Column("revision", BigInteger, nullable=False),  # rises with each change
    Column("seal", LargeBinary, nullable=False),  # MAC over document and revision
    Column("changed_at", UtcDateTime, nullable=False),
)
