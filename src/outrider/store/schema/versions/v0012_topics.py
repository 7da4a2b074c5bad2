"""Topics: the lists of a project as its readers see them, to choose from.

`suppression.excepted`: lists that a reader wants who left all else. No row is rewritten: the default is constant.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

_TOPICS = """
CREATE TABLE topic (
    project_id   uuid NOT NULL REFERENCES project,
    name         text NOT NULL,
    title        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    position     int NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (project_id, name)
);
"""

_EXCEPTED = """
ALTER TABLE suppression ADD COLUMN excepted text[] NOT NULL DEFAULT '{}';
ALTER TABLE suppression_past ADD COLUMN excepted text[] NOT NULL DEFAULT '{}';
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_TOPICS, _EXCEPTED):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
