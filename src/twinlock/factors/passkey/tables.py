"""Table of passkeys: what is kept of each credential (WebAuthn Level 3 section 4)."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table

from twinlock.db.base import metadata
from twinlock.db.types import Id, UtcDateTime

passkey = Table(
    "passkey",
    metadata,
    Column("authenticator_id", Id, primary_key=True),
    Column("subject_id", Id, nullable=False, index=True),
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),  # COSE, sealed together with its facts
    Column("algorithm", Integer, nullable=False),  # COSE number
    Column("aaguid", String(36), nullable=False),
    Column("transports", String(64), nullable=False),  # hints for browsers, between spaces
    Column("is_backup_eligible", Boolean, nullable=False),  # synced between devices
    Column("is_backed_up", Boolean, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("last_challenge", LargeBinary),  # digest; null: it has not signed in yet
    Column("created_at", UtcDateTime, nullable=False),
)
