"""Tracking: what is tracked, and what readers did with each mail; where each mail went, for figures by provider.

`tracking` holds a `policy.tracking.Terms` as JSON, of a project and of a domain. `engagement` has a row for each
recipient that opened or clicked: it says which open is the first. No row of mail is rewritten: defaults are constant.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

_TERMS = """
ALTER TABLE project ADD COLUMN tracking jsonb NOT NULL DEFAULT '{}';
ALTER TABLE domain ADD COLUMN tracking jsonb NOT NULL DEFAULT '{}';
"""

_ENGAGEMENT = """
CREATE TABLE engagement (
    recipient_id       uuid PRIMARY KEY,
    project_id         uuid NOT NULL,
    opens              int NOT NULL DEFAULT 0,
    clicks             int NOT NULL DEFAULT 0,
    machine_opens      int NOT NULL DEFAULT 0,
    machine_clicks     int NOT NULL DEFAULT 0,
    first_opened_at    timestamptz,
    first_clicked_at   timestamptz,
    human_opened_at    timestamptz,
    human_clicked_at   timestamptz,
    last_clicked_at    timestamptz
) WITH (fillfactor = 70);
"""

_WENT = """
ALTER TABLE recipient
    ADD COLUMN provider  text NOT NULL DEFAULT '',
    ADD COLUMN source    text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_TERMS, _ENGAGEMENT, _WENT):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
