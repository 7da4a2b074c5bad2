"""What a project says of the content of its mail: its own thresholds in place of the installation's.

JSON, since it is read whole and asked nothing else.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Change."""
    op.execute("ALTER TABLE project ADD COLUMN content_policy jsonb NOT NULL DEFAULT '{}'")
