"""A webhook is told what happens from when it was made, or was last enabled again; until now, from when it was made."""

from alembic import op

revision = "0019"
down_revision = "0018"

_STATEMENTS = (
    "ALTER TABLE webhook ADD COLUMN told_from timestamptz",
    "UPDATE webhook SET told_from = created_at",
    "ALTER TABLE webhook ALTER COLUMN told_from SET NOT NULL",
)


def upgrade() -> None:
    """Change."""
    for statement in _STATEMENTS:
        op.execute(statement)
