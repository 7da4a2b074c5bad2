"""How long the log and the mail of a project are kept, and the log searched by project.

Contents and files are of a day from now on; `contents_daily_since` says from when a project's are (`store.retention`).
The index is built for the days that are there as well: on a large log that takes a while, and mail waits meanwhile.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

_KEPT = """
ALTER TABLE project
    ADD COLUMN kept_days int CHECK (kept_days > 0),
    ADD COLUMN contents_daily_since timestamptz NOT NULL DEFAULT now();
CREATE INDEX content_created ON content USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX attachment_created ON attachment USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX event_project ON event (project_id, at);
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_KEPT,):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
