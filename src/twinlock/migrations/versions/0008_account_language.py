"""The language of an account's pages and mails."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: nobody has chosen yet."""
    with op.batch_alter_table("account") as account:
        account.add_column(sa.Column("language", sa.String(length=8), nullable=True))


def downgrade() -> None:
    """Drop the column, and with it what was chosen."""
    with op.batch_alter_table("account") as account:
        account.drop_column("language")
