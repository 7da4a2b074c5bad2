"""Limits kept: lanes by project and sending domain, explained pauses, holds, nodes, gates, egress figures, warm-up.

What waits in the lanes of before moves to new ones in the same transaction, so nothing is lost and nothing is tried
twice; no node may run while the tables change (`store.migrate` is run by whoever starts first, before the rest).
`hold`, `node`, `gate` and `warmup` are small; `egress_day` has a row per day, source, provider and writer.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

# A lane now belongs to one project and one sending domain, so that fairness, a hold and a domain's own rate are facts
# of the lane. What waits in the old ones moves to new ones first.
_LANES = """
ALTER TABLE lane ADD COLUMN project_id uuid, ADD COLUMN sender_domain text NOT NULL DEFAULT '',
    ADD COLUMN provider text NOT NULL DEFAULT '', ADD COLUMN pause_kind text, ADD COLUMN paused_since timestamptz,
    ADD COLUMN hold_id uuid;
ALTER TABLE lane DROP CONSTRAINT lane_pool_route_stream_shard_key;
INSERT INTO lane (pool, route, stream, shard, project_id, sender_domain, next_due_at)
SELECT pool, route, l.stream, shard, m.project_id, lower(split_part(m.sender, '@', 2)), min(q.due_at)
  FROM queue q JOIN lane l USING (lane_id) JOIN recipient r USING (recipient_id) JOIN message m USING (message_id)
 GROUP BY pool, route, l.stream, shard, m.project_id, lower(split_part(m.sender, '@', 2));
UPDATE queue q SET lane_id = fresh.lane_id
  FROM lane old, lane fresh, recipient r, message m
 WHERE old.lane_id = q.lane_id AND old.project_id IS NULL AND r.recipient_id = q.recipient_id
   AND m.message_id = r.message_id AND fresh.project_id = m.project_id
   AND fresh.sender_domain = lower(split_part(m.sender, '@', 2))
   AND (fresh.pool, fresh.route, fresh.stream, fresh.shard) = (old.pool, old.route, old.stream, old.shard);
DELETE FROM lane WHERE project_id IS NULL;
ALTER TABLE lane ALTER COLUMN project_id SET NOT NULL;
ALTER TABLE lane ALTER COLUMN sender_domain DROP DEFAULT;
ALTER TABLE lane ADD CONSTRAINT lane_key UNIQUE (project_id, stream, route, sender_domain, pool, shard);
ALTER TABLE lane ADD CONSTRAINT lane_pause_explained
    CHECK (paused_until IS NULL OR (pause_kind IS NOT NULL AND pause_reason IS NOT NULL AND paused_since IS NOT NULL));
DROP INDEX lane_due;
CREATE INDEX lane_due ON lane (stream, project_id, next_due_at) WHERE next_due_at < 'infinity';
CREATE INDEX lane_route ON lane (route);
CREATE INDEX lane_provider ON lane (provider) WHERE provider <> '';
CREATE INDEX lane_hold ON lane (hold_id) WHERE hold_id IS NOT NULL;
ALTER TABLE lane SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);
"""

_CONTROL = """
CREATE TABLE hold (
    hold_id     uuid PRIMARY KEY,
    scope       text NOT NULL CHECK (scope IN ('lane', 'provider', 'project', 'session')),
    subject     text NOT NULL,
    note        text NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT hold_taken UNIQUE (scope, subject)
);
CREATE TABLE node (
    node_id     uuid PRIMARY KEY,
    name        text NOT NULL,
    pools       text[] NOT NULL,
    addresses   text[] NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL
);
CREATE TABLE gate (
    node_id     uuid NOT NULL,
    source      text NOT NULL,
    provider    text NOT NULL,
    state       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (node_id, source, provider)
) WITH (fillfactor = 50);
"""

# One row a writer (a deliver process), so that two that settle at the same moment never wait for each other.
_EGRESS = """
CREATE TABLE egress_day (
    day         date NOT NULL,
    source      text NOT NULL,
    provider    text NOT NULL,
    writer      text NOT NULL,
    attempted   bigint NOT NULL DEFAULT 0,
    delivered   bigint NOT NULL DEFAULT 0,
    deferred    bigint NOT NULL DEFAULT 0,
    bounced     bigint NOT NULL DEFAULT 0,
    throttled   bigint NOT NULL DEFAULT 0,
    complained  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (day, source, provider, writer)
) WITH (fillfactor = 50);
CREATE TABLE warmup (
    source       text NOT NULL,
    provider     text NOT NULL,
    plan         text NOT NULL,
    stage        int NOT NULL,
    stage_since  date NOT NULL,
    changed_at   timestamptz NOT NULL,
    note         text NOT NULL,
    PRIMARY KEY (source, provider)
);
ALTER TABLE domain ADD COLUMN rate_per_minute int CHECK (rate_per_minute BETWEEN 1 AND 1000000);
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_LANES, _CONTROL, _EGRESS):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
