"""Table of the keys that sign access tokens."""

from sqlalchemy import Boolean, Column, LargeBinary, String, Table, Text

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

signing_key = Table(
    "signing_key",
    metadata,
    Column("id", Id, primary_key=True),  # the `kid`
    Column("algorithm", String(16), nullable=False),
    Column("public_jwk", Text, nullable=False),
    Column("private_key", LargeBinary, nullable=False),  # PKCS #8, sealed
    Column("active", Boolean, unique=True),  # true for the one that signs, null for the others
    Column("signed_until", UtcDateTime),  # null: still signs
    Column("retired_at", UtcDateTime),  # null: its tokens are accepted while they live
    Column("created_at", UtcDateTime, nullable=False, index=True),
)
