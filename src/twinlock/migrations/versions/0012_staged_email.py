"""Other e-mail addresses that an admin asked for, and that wait; an index to list addresses by."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0012"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and let a page of one address's accounts come from the index, too."""
    op.create_table(
        "staged_email",
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(length=32), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_staged_email"),
    )
    op.create_index("ix_staged_email_due_at", "staged_email", ["due_at"])
    op.create_index("ix_account_email_key_username_key", "account", ["email_key", "username_key"])
    op.drop_index("ix_account_email_key", table_name="account")


def downgrade() -> None:
    """Drop the table, and the addresses that wait."""
    op.create_index("ix_account_email_key", "account", ["email_key"])
    op.drop_index("ix_account_email_key_username_key", table_name="account")
    op.drop_table("staged_email")
