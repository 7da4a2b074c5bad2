"""Webhooks: where events are told, what waits to be told, and how it went.

`webhook_turn` is apart from `webhook`, since it changes with every burst of calls: who sends them now, and when the
next is due. A call holds its own payload, so that what it says does not change between its attempts.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

_WEBHOOKS = """
CREATE TABLE webhook (
    webhook_id     uuid PRIMARY KEY,
    project_id     uuid NOT NULL,
    url            text NOT NULL,
    description    text NOT NULL,
    kinds          text[] NOT NULL,
    ordering       text NOT NULL,
    batch_count    int NOT NULL,
    batch_wait_s   double precision NOT NULL,
    state          text NOT NULL,
    state_reason   text NOT NULL,
    state_at       timestamptz NOT NULL,
    failing_since  timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX webhook_project ON webhook (project_id, created_at, webhook_id);
CREATE TABLE webhook_secret (
    secret_id   uuid PRIMARY KEY,
    webhook_id  uuid NOT NULL REFERENCES webhook ON DELETE CASCADE,
    project_id  uuid NOT NULL,
    is_token    boolean NOT NULL,
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    ends_at     timestamptz
);
CREATE INDEX webhook_secret_webhook ON webhook_secret (webhook_id);
CREATE TABLE webhook_turn (
    webhook_id    uuid PRIMARY KEY REFERENCES webhook ON DELETE CASCADE,
    project_id    uuid NOT NULL,
    next_due_at   timestamptz NOT NULL DEFAULT 'infinity',
    paused_until  timestamptz NOT NULL DEFAULT '-infinity',
    owner         uuid,
    lease_until   timestamptz
) WITH (fillfactor = 50);
CREATE INDEX webhook_turn_due ON webhook_turn (next_due_at) WHERE next_due_at < 'infinity';
CREATE INDEX webhook_turn_owner ON webhook_turn (owner) WHERE owner IS NOT NULL;
"""

_CALLS = """
CREATE TABLE webhook_call (
    call_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id    uuid NOT NULL,
    project_id    uuid NOT NULL,
    event         text NOT NULL,
    kind          text NOT NULL,
    ordering_key  text NOT NULL,
    batch         text NOT NULL DEFAULT '',
    payload       bytea NOT NULL,
    attempt       int NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL,
    created_at    timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX webhook_call_due ON webhook_call (webhook_id, due_at, call_id);
CREATE INDEX webhook_call_key ON webhook_call (webhook_id, ordering_key, call_id) WHERE ordering_key <> '';
CREATE TABLE webhook_delivery (
    delivery_id  bigint GENERATED ALWAYS AS IDENTITY,
    webhook_id   uuid NOT NULL,
    project_id   uuid NOT NULL,
    name         text NOT NULL,
    events       text[] NOT NULL,
    kind         text NOT NULL,
    attempt      int NOT NULL,
    at           timestamptz NOT NULL,
    outcome      text NOT NULL,
    status       int NOT NULL,
    error        text NOT NULL,
    duration_s   double precision NOT NULL,
    excerpt      text NOT NULL,
    retry_at     timestamptz,
    PRIMARY KEY (webhook_id, delivery_id)
);
CREATE INDEX webhook_delivery_at ON webhook_delivery USING brin (at);
"""


def upgrade() -> None:
    """Create."""
    for script in (_WEBHOOKS, _CALLS):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
