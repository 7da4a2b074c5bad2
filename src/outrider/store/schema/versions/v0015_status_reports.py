"""Delivery reports by mail: who asked for them (RFC 3461), and those that wait to be sent."""

from alembic import op

revision = "0015"
down_revision = "0014"

_REPORTS = """
CREATE TABLE report_wish (
    project_id    uuid NOT NULL,
    recipient_id  uuid NOT NULL,
    message_id    uuid NOT NULL,
    return_to     text NOT NULL,
    kinds         text[] NOT NULL,
    is_full       boolean NOT NULL,
    envelope_id   text NOT NULL,
    original      text NOT NULL,
    wished_at     timestamptz NOT NULL,
    PRIMARY KEY (project_id, recipient_id)
);
CREATE INDEX report_wish_age ON report_wish (wished_at);
CREATE TABLE status_report (
    report_id     uuid PRIMARY KEY,
    project_id    uuid NOT NULL,
    recipient_id  uuid NOT NULL,
    action        text NOT NULL,
    reply         text NOT NULL,
    host          text NOT NULL,
    at            timestamptz NOT NULL,
    mailed_at     timestamptz,
    UNIQUE (project_id, recipient_id, action),
    FOREIGN KEY (project_id, recipient_id) REFERENCES report_wish ON DELETE CASCADE
);
CREATE INDEX status_report_unmailed ON status_report (at) WHERE mailed_at IS NULL;
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_REPORTS,):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
