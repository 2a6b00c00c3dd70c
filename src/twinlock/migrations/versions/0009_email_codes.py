"""Codes by mail, and addresses that block nobody before they are verified."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_VERIFIED = sa.text("email_verified_at IS NOT NULL")


def upgrade() -> None:
    """Create the table; let an address be one account's alone only once it is verified."""
    op.create_table(
        "email_code",
        sa.Column("authenticator_id", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("authenticator_id", name="pk_email_code"),
    )
    op.create_index("ix_email_code_subject_id", "email_code", ["subject_id"])
    with op.batch_alter_table("account") as account:
        account.add_column(sa.Column("password_mailed_at", UtcDateTime(), nullable=True))
        account.drop_constraint("uq_account_email_key", type_="unique")
    op.create_index("ix_account_email_key", "account", ["email_key"])
    op.create_index(
        "uq_account_email_key_verified",
        "account",
        ["email_key"],
        unique=True,
        sqlite_where=_VERIFIED,
        postgresql_where=_VERIFIED,
    )


def downgrade() -> None:
    """Drop both; of several accounts with one address those lose it that have not verified it."""
    op.drop_index("uq_account_email_key_verified", table_name="account")
    op.drop_index("ix_account_email_key", table_name="account")
    op.execute(
        "UPDATE account SET email = NULL, email_key = NULL WHERE email_verified_at IS NULL "
        "AND email_key IN (SELECT email_key FROM account GROUP BY email_key HAVING count(*) > 1)"
    )
    with op.batch_alter_table("account") as account:
        account.drop_column("password_mailed_at")
        account.create_unique_constraint("uq_account_email_key", ["email_key"])
    op.drop_table("email_code")
