"""The HTTP API, whole: what a key may do and how often, quotas, attachments, and what customers say of a message.

`secret_sealed` is there for the signed calls of uSpeedo's clients, which need the secret itself; a key from before has
none. Counts are one row a writer, so that no two wait for each other.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

_KEYS = """
ALTER TABLE api_key
    ADD COLUMN secret_sealed    bytea,
    ADD COLUMN scopes           text[] NOT NULL DEFAULT '{send,read,manage}',
    ADD COLUMN ip_ranges        text[] NOT NULL DEFAULT '{}',
    ADD COLUMN domains          text[] NOT NULL DEFAULT '{}',
    ADD COLUMN expires_at       timestamptz,
    ADD COLUMN last_used_at     timestamptz,
    ADD COLUMN rate_per_minute  int;
CREATE TABLE key_use (
    access_key_id  text NOT NULL,
    minute         timestamptz NOT NULL,
    writer         text NOT NULL,
    calls          bigint NOT NULL,
    PRIMARY KEY (access_key_id, minute, writer)
) WITH (fillfactor = 50);
CREATE INDEX key_use_minute ON key_use (minute);
CREATE TABLE nonce (
    access_key_id  text NOT NULL,
    nonce          text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (access_key_id, nonce)
);
CREATE INDEX nonce_at ON nonce (at);
ALTER TABLE project
    ADD COLUMN quota_day    bigint,
    ADD COLUMN quota_month  bigint;
CREATE TABLE quota_use (
    project_id  uuid NOT NULL,
    day         date NOT NULL,
    writer      text NOT NULL,
    recipients  bigint NOT NULL,
    PRIMARY KEY (project_id, day, writer)
) WITH (fillfactor = 50);
"""

_MESSAGES = """
ALTER TABLE message
    ADD COLUMN tags          jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN metadata      jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN send_at       timestamptz,
    ADD COLUMN track_opens   boolean,
    ADD COLUMN track_clicks  boolean,
    ADD COLUMN resent_from   uuid;
CREATE TABLE attachment (
    project_id    uuid NOT NULL,
    content_hash  bytea NOT NULL,
    body          bytea NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (project_id, content_hash)
);
ALTER TABLE attachment ALTER body SET STORAGE EXTERNAL;
"""

_STATS = """
CREATE TABLE stat_hour (
    project_id     uuid NOT NULL,
    hour           timestamptz NOT NULL,
    kind           text NOT NULL,
    stream         text NOT NULL,
    sender_domain  text NOT NULL,
    tag            text NOT NULL,
    count          bigint NOT NULL,
    PRIMARY KEY (project_id, hour, kind, stream, sender_domain, tag)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_KEYS, _MESSAGES, _STATS):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
