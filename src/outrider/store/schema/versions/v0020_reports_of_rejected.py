"""Who was rejected beside others has no row of its own: a wish to hear of it by mail holds the address."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Change."""
    op.execute("ALTER TABLE report_wish ADD COLUMN address text NOT NULL DEFAULT ''")
