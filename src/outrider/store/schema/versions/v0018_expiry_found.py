"""What is over is found in the queue by its end (`queue._EXPIRED`), however much waits and in whatever lane.

On a deep queue the index takes a while (a million rows: a second), and mail waits meanwhile.
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create."""
    op.execute("CREATE INDEX queue_expiry ON queue (expires_at)")
