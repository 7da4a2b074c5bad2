"""Templates with their versions, the parts they share, and what each recipient's mail is filled in with.

A version is what its author wrote (`source`) and what is sent (`content`, made from it once). A message holds a copy of
that content as its body, so that what happens to a template later changes no mail that was accepted.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

_TEMPLATES = """
CREATE TABLE template (
    template_id       text PRIMARY KEY,
    project_id        uuid NOT NULL REFERENCES project,
    name              text NOT NULL,
    stream            stream NOT NULL,
    state             text NOT NULL,
    state_reason      text NOT NULL DEFAULT '',
    is_blocked        boolean NOT NULL DEFAULT false,
    published_number  int,
    head_number       int NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    deleted_at        timestamptz
);
CREATE UNIQUE INDEX template_name ON template (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX template_of_project ON template (project_id, template_id) WHERE deleted_at IS NULL;
CREATE TABLE template_version (
    template_id   text NOT NULL REFERENCES template,
    project_id    uuid NOT NULL,
    number        int NOT NULL,
    state         text NOT NULL,
    subject       text NOT NULL,
    source        bytea NOT NULL,
    content       bytea NOT NULL,
    sample        bytea NOT NULL,
    variables     text[] NOT NULL DEFAULT '{}',
    partials      text[] NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL,
    published_at  timestamptz,
    PRIMARY KEY (template_id, number)
);
CREATE TABLE partial (
    project_id  uuid NOT NULL REFERENCES project,
    name        text NOT NULL,
    source      text NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (project_id, name)
);
ALTER TABLE project ADD COLUMN templates_need_approval boolean NOT NULL DEFAULT false;
"""

_MAIL = """
ALTER TABLE message
    ADD COLUMN template_id      text NOT NULL DEFAULT '',
    ADD COLUMN template_number  int NOT NULL DEFAULT 0;
ALTER TABLE recipient ADD COLUMN personal bytea;
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_TEMPLATES, _MAIL):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
