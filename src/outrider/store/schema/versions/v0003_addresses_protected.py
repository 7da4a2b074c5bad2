"""Addresses protected: suppressions and what led to them, mail that came in, figures for the guards.

`suppression` is asked for every recipient that is accepted, so it has one index for that and no foreign keys. `inbound`
holds what was answered 250 and not read yet (`due_at` NULL: it cannot be read); it is empty when nothing comes in.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

# The nil project is everybody's: an operator's entry.
_SUPPRESSIONS = """
CREATE TABLE suppression (
    project_id    uuid NOT NULL,
    address_key   text NOT NULL,
    scope         text NOT NULL CHECK (scope IN ('all', 'stream', 'domain', 'list')),
    subject       text NOT NULL DEFAULT '',
    reason        text NOT NULL,
    origin        text NOT NULL CHECK (origin IN ('reply', 'report', 'request', 'import', 'operator')),
    rule          text NOT NULL DEFAULT '',
    rules         text NOT NULL DEFAULT '',
    evidence      text NOT NULL DEFAULT '',
    recipient_id  uuid,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    PRIMARY KEY (address_key, project_id, scope, subject)
);
CREATE INDEX suppression_recipient ON suppression (recipient_id) WHERE recipient_id IS NOT NULL;
CREATE INDEX suppression_project ON suppression (project_id, created_at, address_key);
CREATE INDEX suppression_expires ON suppression (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE suppression_past (
    project_id    uuid NOT NULL,
    address_key   text NOT NULL,
    scope         text NOT NULL,
    subject       text NOT NULL,
    reason        text NOT NULL,
    origin        text NOT NULL,
    rule          text NOT NULL,
    rules         text NOT NULL,
    evidence      text NOT NULL,
    recipient_id  uuid,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    removed_at    timestamptz NOT NULL,
    removed_why   text NOT NULL
);
CREATE INDEX suppression_past_address ON suppression_past (address_key, project_id);
CREATE TABLE evidence (
    project_id    uuid NOT NULL,
    address_key   text NOT NULL,
    reason        text NOT NULL,
    at            timestamptz NOT NULL,
    message_id    uuid NOT NULL
);
CREATE INDEX evidence_address ON evidence (address_key, project_id);
CREATE INDEX evidence_at ON evidence (at);
"""

_INBOUND = """
CREATE TABLE inbound (
    inbound_id    uuid PRIMARY KEY,
    recipient_id  uuid NOT NULL,
    purpose       text NOT NULL CHECK (purpose IN ('bounce', 'feedback', 'unsubscribe')),
    sender        text NOT NULL,
    client        text NOT NULL,
    content       bytea NOT NULL,
    received_at   timestamptz NOT NULL,
    due_at        timestamptz,
    attempt       int NOT NULL DEFAULT 0
);
ALTER TABLE inbound ALTER content SET STORAGE EXTERNAL;
CREATE INDEX inbound_due ON inbound (due_at);
ALTER TABLE project ADD COLUMN bounce_domain text NOT NULL DEFAULT '';
"""

# One row a writer, as in `egress_day`: two that settle at the same moment never wait for each other.
_GUARDS = """
CREATE TABLE sending_hour (
    hour           timestamptz NOT NULL,
    project_id     uuid NOT NULL,
    sender_domain  text NOT NULL,
    stream         stream NOT NULL,
    writer         text NOT NULL,
    sent           bigint NOT NULL DEFAULT 0,
    invalid        bigint NOT NULL DEFAULT 0,
    complained     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, project_id, sender_domain, stream, writer)
) WITH (fillfactor = 50);
CREATE TABLE guard (
    project_id          uuid NOT NULL,
    sender_domain       text NOT NULL DEFAULT '',
    stream              stream NOT NULL,
    state               text NOT NULL CHECK (state IN ('ok', 'warn', 'slow', 'pause')),
    sentence            text NOT NULL,
    since               timestamptz NOT NULL,
    released_at         timestamptz,
    excused_sent        bigint NOT NULL DEFAULT 0,
    excused_invalid     bigint NOT NULL DEFAULT 0,
    excused_complained  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, sender_domain, stream)
);
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_SUPPRESSIONS, _INBOUND, _GUARDS):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
