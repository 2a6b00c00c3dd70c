"""It is known of a set of recovery codes whether its owner has shown that it was kept."""

import sqlalchemy as sa
from alembic import op

from twinlock.db.types import UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the moment; whoever has codes already is asked once."""
    op.add_column("recovery_code", sa.Column("kept_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Drop it; the codes stay."""
    op.drop_column("recovery_code", "kept_at")
