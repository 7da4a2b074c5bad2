"""Links to unsubscribe outlive their mail: a row for each recipient whose mail is forgotten while the link is good.

Mail that was forgotten before has none: its links stay broken.
"""

from alembic import op

revision = "0017"
down_revision = "0016"

_LINKS = """
CREATE TABLE recipient_past (
    recipient_id  uuid PRIMARY KEY,
    project_id    uuid NOT NULL,
    message_id    uuid NOT NULL,
    address       text NOT NULL,
    sender        text NOT NULL,
    list_name     text NOT NULL,
    good_until    timestamptz NOT NULL
);
CREATE INDEX recipient_past_age ON recipient_past (project_id, good_until);
"""


def upgrade() -> None:
    """Create."""
    for statement in _LINKS.split(";\n"):
        if statement.strip():
            op.execute(statement)
