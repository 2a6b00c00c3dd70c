"""The first tables: accounts, factors, sessions, keys, counts and events."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "account",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("username_key", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("email_key", sa.String(length=320), nullable=True),
        sa.Column("email_verified_at", UtcDateTime(), nullable=True),
        sa.Column("full_name", sa.String(length=255), nullable=True),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("password_scheme", sa.String(length=64), nullable=True),
        sa.Column("password_changed_at", UtcDateTime(), nullable=True),
        sa.Column("password_expires_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("email_key", name="uq_account_email_key"),
        sa.UniqueConstraint("username_key", name="uq_account_username_key"),
    )
    op.create_index("ix_account_created_at_id", "account", ["created_at", "id"], unique=False)
    op.create_index("ix_account_password_scheme", "account", ["password_scheme"], unique=False)
    op.create_table(
        "authenticator",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("code_digits", sa.SmallInteger(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_authenticator"),
    )
    op.create_index("ix_authenticator_subject_id", "authenticator", ["subject_id"], unique=False)
    op.create_table(
        "event",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=48), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=True),
        sa.Column("name_digest", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("method", sa.String(length=32), nullable=True),
        sa.Column("session_id", sa.String(length=32), nullable=True),
        sa.Column("ip", sa.String(length=45), nullable=True),
        sa.Column("user_agent", sa.String(length=255), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("repeat_key", sa.LargeBinary(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint("repeat_key", name="uq_event_repeat_key"),
    )
    op.create_index("ix_event_at", "event", ["at"], unique=False)
    op.create_index("ix_event_subject_id_id", "event", ["subject_id", "id"], unique=False)
    op.create_index("ix_event_type_id", "event", ["type", "id"], unique=False)
    op.create_table(
        "familiar",
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "kind", "digest", name="pk_familiar"),
    )
    op.create_index("ix_familiar_kind_seen_at", "familiar", ["kind", "seen_at"], unique=False)
    op.create_table(
        "installation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key_check", sa.LargeBinary(), nullable=False),
        sa.Column("digest_key", sa.LargeBinary(), nullable=False),
        sa.Column("admins_changed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_table(
        "pending",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=True),
        sa.Column("method", sa.String(length=32), nullable=True),
        sa.Column("acr", sa.String(length=8), nullable=True),
        sa.Column("proven_at", UtcDateTime(), nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_pending"),
    )
    op.create_index("ix_pending_expires_at", "pending", ["expires_at"], unique=False)
    op.create_index(
        "ix_pending_subject_id_purpose_created_at",
        "pending",
        ["subject_id", "purpose", "created_at"],
        unique=False,
    )
    op.create_table(
        "recovery_code",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_recovery_code"),
    )
    op.create_index("ix_recovery_code_subject_id", "recovery_code", ["subject_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("cookie_digest", sa.LargeBinary(), nullable=True),
        sa.Column("refresh_counter", sa.Integer(), nullable=False),
        sa.Column("rotated_at", UtcDateTime(), nullable=False),
        sa.Column("acr", sa.String(length=8), nullable=False),
        sa.Column("amr", sa.String(length=64), nullable=False),
        sa.Column("auth_time", UtcDateTime(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=True),
        sa.Column("user_agent", sa.String(length=255), nullable=True),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("idle_until", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.UniqueConstraint("cookie_digest", name="uq_session_cookie_digest"),
    )
    op.create_index("ix_session_changed_at", "session", ["changed_at"], unique=False)
    op.create_index(
        "ix_session_ended_at",
        "session",
        ["ended_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NOT NULL"),
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("ix_session_expires_at", "session", ["expires_at"], unique=False)
    op.create_index(
        "ix_session_subject_id_created_at", "session", ["subject_id", "created_at"], unique=False
    )
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=True),
        sa.Column("signed_until", UtcDateTime(), nullable=True),
        sa.Column("retired_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signing_key"),
        sa.UniqueConstraint("active", name="uq_signing_key_active"),
    )
    op.create_index("ix_signing_key_created_at", "signing_key", ["created_at"], unique=False)
    op.create_table(
        "subject",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("host_id", sa.String(length=255), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("awaits_enrollment", sa.Boolean(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=True),
        sa.Column("signed_in_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subject"),
    )
    op.create_index(
        "uq_subject_host_id_open",
        "subject",
        ["host_id"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "throttle",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("recent", sa.LargeBinary(), nullable=False),
        sa.Column("in_a_row", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_throttle"),
    )
    op.create_index(
        "ix_throttle_expires_at",
        "throttle",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("in_a_row = 0"),
        postgresql_where=sa.text("in_a_row = 0"),
    )
    op.create_table(
        "totp",
        sa.Column("authenticator_id", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("digits", sa.SmallInteger(), nullable=False),
        sa.Column("period_seconds", sa.SmallInteger(), nullable=False),
        sa.Column("algorithm", sa.String(length=8), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("authenticator_id", name="pk_totp"),
    )
    op.create_index("ix_totp_subject_id", "totp", ["subject_id"], unique=False)


def downgrade() -> None:
    """Drop every table."""
    op.drop_index("ix_totp_subject_id", table_name="totp")
    op.drop_table("totp")
    op.drop_index(
        "ix_throttle_expires_at",
        table_name="throttle",
        sqlite_where=sa.text("in_a_row = 0"),
        postgresql_where=sa.text("in_a_row = 0"),
    )
    op.drop_table("throttle")
    op.drop_index(
        "uq_subject_host_id_open",
        table_name="subject",
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.drop_table("subject")
    op.drop_index("ix_signing_key_created_at", table_name="signing_key")
    op.drop_table("signing_key")
    op.drop_index("ix_session_subject_id_created_at", table_name="session")
    op.drop_index("ix_session_expires_at", table_name="session")
    op.drop_index(
        "ix_session_ended_at",
        table_name="session",
        sqlite_where=sa.text("ended_at IS NOT NULL"),
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.drop_index("ix_session_changed_at", table_name="session")
    op.drop_table("session")
    op.drop_index("ix_recovery_code_subject_id", table_name="recovery_code")
    op.drop_table("recovery_code")
    op.drop_index("ix_pending_subject_id_purpose_created_at", table_name="pending")
    op.drop_index("ix_pending_expires_at", table_name="pending")
    op.drop_table("pending")
    op.drop_table("installation")
    op.drop_index("ix_familiar_kind_seen_at", table_name="familiar")
    op.drop_table("familiar")
    op.drop_index("ix_event_type_id", table_name="event")
    op.drop_index("ix_event_subject_id_id", table_name="event")
    op.drop_index("ix_event_at", table_name="event")
    op.drop_table("event")
    op.drop_index("ix_authenticator_subject_id", table_name="authenticator")
    op.drop_table("authenticator")
    op.drop_index("ix_account_password_scheme", table_name="account")
    op.drop_index("ix_account_created_at_id", table_name="account")
    op.drop_table("account")
