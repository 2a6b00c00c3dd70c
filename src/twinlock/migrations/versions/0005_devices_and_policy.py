"""Trusted devices, and the policies."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables: no device is trusted yet, and nothing is demanded."""
    op.create_table(
        "trusted_device",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("cookie_digest", sa.LargeBinary(), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=True),
        sa.Column("user_agent", sa.String(length=255), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trusted_device"),
    )
    op.create_index("ix_trusted_device_expires_at", "trusted_device", ["expires_at"])
    op.create_index(
        "ix_trusted_device_subject_id_created_at", "trusted_device", ["subject_id", "created_at"]
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy"),
    )


def downgrade() -> None:
    """Drop both tables: every device is strange again, and nothing is demanded."""
    op.drop_table("policy")
    op.drop_table("trusted_device")
