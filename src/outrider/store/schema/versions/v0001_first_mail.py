"""First mail: projects, keys, domains, senders, messages, recipients, the queue, lanes, the event log.

Hot tables (content, message, recipient, queue, event) carry no foreign keys: accept writes their rows together in one
transaction, and a key check per row would cost as much as the row.
"""

from alembic import op

revision = "0001"
down_revision = None

_ACCOUNTS = """
CREATE TABLE project (
    project_id  uuid PRIMARY KEY,
    name        text NOT NULL CONSTRAINT project_name_taken UNIQUE,
    created_at  timestamptz NOT NULL
);
CREATE TABLE api_key (
    access_key_id  text PRIMARY KEY CHECK (access_key_id ~ '^[0-9a-f]{32}$'),
    project_id     uuid NOT NULL REFERENCES project,
    secret_hash    bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    name           text NOT NULL,
    created_at     timestamptz NOT NULL,
    revoked_at     timestamptz
);
CREATE INDEX api_key_project ON api_key (project_id);
"""

_IDENTITY = """
CREATE TABLE domain (
    domain_id    uuid PRIMARY KEY,
    project_id   uuid NOT NULL REFERENCES project,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL,
    verified_at  timestamptz,
    CONSTRAINT domain_name_taken UNIQUE (project_id, name)
);
-- A name may be claimed by many and proven by one.
CREATE UNIQUE INDEX domain_verified_elsewhere ON domain (name) WHERE verified_at IS NOT NULL;
CREATE TABLE dkim_key (
    dkim_key_id         uuid PRIMARY KEY,
    project_id          uuid NOT NULL REFERENCES project,
    domain_id           uuid NOT NULL REFERENCES domain,
    selector            text NOT NULL,
    algorithm           text NOT NULL CHECK (algorithm IN ('rsa-sha256', 'ed25519-sha256')),
    private_key_sealed  bytea NOT NULL,
    public_record       text NOT NULL,
    created_at          timestamptz NOT NULL,
    CONSTRAINT dkim_selector_taken UNIQUE (domain_id, selector)
);
CREATE TABLE sender (
    sender_id   uuid PRIMARY KEY,
    project_id  uuid NOT NULL REFERENCES project,
    domain_id   uuid NOT NULL REFERENCES domain,
    address     text NOT NULL,
    address_key text NOT NULL,
    name        text NOT NULL,
    is_default  boolean NOT NULL,
    is_enabled  boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT sender_address_taken UNIQUE (project_id, address_key)
);
CREATE UNIQUE INDEX sender_default ON sender (project_id) WHERE is_default;
"""

_MAIL = """
CREATE TYPE stream AS ENUM ('transactional', 'marketing');
CREATE TABLE content (
    project_id    uuid NOT NULL,
    content_hash  bytea NOT NULL,
    body          bytea NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (project_id, content_hash)
) WITH (toast_tuple_target = 8160);
-- As it is: compressing a 3 KB body costs as much as inserting its row.
ALTER TABLE content ALTER body SET STORAGE EXTERNAL;
CREATE TABLE message (
    message_id       uuid PRIMARY KEY,
    project_id       uuid NOT NULL,
    stream           stream NOT NULL,
    sender           text NOT NULL,
    from_name        text NOT NULL,
    subject          text NOT NULL,
    content_hash     bytea NOT NULL,
    recipient_count  int NOT NULL,
    accepted_at      timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL
);
CREATE INDEX message_project ON message (project_id, accepted_at);
CREATE TABLE idempotency (
    project_id       uuid NOT NULL,
    idempotency_key  text NOT NULL,
    request_hash     bytea NOT NULL,
    answer           bytea NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (project_id, idempotency_key)
);
-- Room on each page, so that the update at settle stays on it (HOT) and touches no index.
CREATE TABLE recipient (
    recipient_id  uuid PRIMARY KEY,
    message_id    uuid NOT NULL,
    project_id    uuid NOT NULL,
    address       text NOT NULL,
    status        text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'held', 'delivered', 'bounced', 'expired', 'suppressed', 'cancelled')),
    reason        text NOT NULL DEFAULT '',
    reply         text NOT NULL DEFAULT '',
    attempt       int NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX recipient_message ON recipient (message_id);
"""

_QUEUE = """
CREATE TABLE lane (
    lane_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool          text NOT NULL,
    route         text NOT NULL,
    stream        stream NOT NULL,
    shard         smallint NOT NULL DEFAULT 0,
    next_due_at   timestamptz NOT NULL DEFAULT 'infinity',
    owner         uuid,
    lease_until   timestamptz,
    taken_over_at timestamptz,
    paused_until  timestamptz,
    pause_reason  text,
    UNIQUE (pool, route, stream, shard)
) WITH (fillfactor = 50);
CREATE INDEX lane_due ON lane (stream, next_due_at);
CREATE INDEX lane_owner ON lane (owner) WHERE owner IS NOT NULL;
CREATE TABLE queue (
    recipient_id  uuid PRIMARY KEY,
    lane_id       bigint NOT NULL,
    due_at        timestamptz NOT NULL,
    attempt       int NOT NULL DEFAULT 0,
    expires_at    timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 20000,
        autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 50000);
CREATE INDEX queue_lane ON queue (lane_id, due_at, recipient_id);
"""

_EVENTS = """
CREATE SEQUENCE event_id AS bigint CACHE 50;
CREATE TABLE event (
    event_id      bigint NOT NULL DEFAULT nextval('event_id'),
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at            timestamptz NOT NULL,
    project_id    uuid NOT NULL,
    message_id    uuid NOT NULL,
    recipient_id  uuid,
    kind          text NOT NULL,
    attempt       int NOT NULL DEFAULT 0,
    reason        text NOT NULL DEFAULT '',
    reply         text NOT NULL DEFAULT '',
    facts         jsonb NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (at);
CREATE INDEX event_message ON event (message_id);
CREATE INDEX event_order ON event (xid, event_id);
CREATE TABLE feed_cursor (
    consumer  text PRIMARY KEY,
    xid       xid8 NOT NULL,
    event_id  bigint NOT NULL
);
"""


def upgrade() -> None:
    """Create everything."""
    for script in (_ACCOUNTS, _IDENTITY, _MAIL, _QUEUE, _EVENTS):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
