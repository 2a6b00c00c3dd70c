"""Table of the installation: one row that says which keys belong to this database."""

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, Table

from twinlock.db.base import metadata
from twinlock.db.types import UtcDateTime

installation = Table(
    "installation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),  # always 1
    Column("key_check", LargeBinary, nullable=False),  # a known text, sealed by a master key
    Column("digest_key", LargeBinary, nullable=False),  # sealed; see core/keyring.py
    # Rises with every change to who is an admin: the one row that those writers share.
    Column("admins_changed", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
