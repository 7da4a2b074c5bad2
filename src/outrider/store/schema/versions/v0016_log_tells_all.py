"""The log tells all that is counted of it: a recount needs nobody's memory. Figures have a column for each metric.

What readers did says to whom the mail had gone (`provider`, `source`) in its own facts; so far the recipient was asked.
Mail that is forgotten before the last of its events leaves a row in `message_past` that says what it counts under.
`project.log_since` is the first day of which the project's log is whole. On a large log the first takes a while, and
mail waits meanwhile.

A row of figures was a metric's; it is all of them now. How long mail took has tables of its own; templates and tags
have no minutes any more. What was counted is carried over.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

_LOG = """
UPDATE event e
   SET facts = e.facts || jsonb_strip_nulls(jsonb_build_object('provider', nullif(r.provider, ''),
                                                               'source', nullif(r.source, '')))
  FROM recipient r
 WHERE e.kind IN ('bounced_late', 'complained', 'unsubscribed', 'resubscribed', 'opened', 'clicked')
   AND r.recipient_id = e.recipient_id AND r.project_id = e.project_id AND (r.provider <> '' OR r.source <> '');
CREATE TABLE message_past (
    message_id       uuid PRIMARY KEY,
    project_id       uuid NOT NULL,
    stream           stream NOT NULL,
    sender_domain    text NOT NULL,
    campaign         text NOT NULL,
    template_id      text NOT NULL,
    tags             jsonb NOT NULL,
    recipient_count  int NOT NULL,
    began_at         timestamptz NOT NULL,
    last_at          timestamptz NOT NULL
);
CREATE INDEX message_past_age ON message_past (project_id, last_at);
ALTER TABLE project ADD COLUMN log_since timestamptz;
UPDATE project SET log_since = date_trunc('day', now(), 'UTC') - (kept_days - 1) * interval '1 day'
 WHERE kept_days IS NOT NULL;
"""

_METRICS = (
    *("accepted", "delivered", "deferred", "bounced", "bounced_late", "expired", "suppressed", "cancelled"),
    *("complained", "unsubscribed", "resubscribed", "bounced_hard", "bounced_soft", "blocked"),
    *("opens", "opens_human", "opens_machine", "opens_unique", "opens_human_unique"),
    *("clicks", "clicks_human", "clicks_machine", "clicks_unique", "clicks_human_unique"),
)
_COLUMNS = ",\n".join(f"    {metric} bigint NOT NULL DEFAULT 0" for metric in _METRICS)
_SUMS = ", ".join(f"COALESCE(sum(count) FILTER (WHERE metric = '{metric}'), 0)" for metric in _METRICS)
_KEY = "project_id, dimension, at, name, stream, sender_domain"
_OF_UNIT = f"""
ALTER TABLE figure_{{unit}} RENAME TO figure_{{unit}}_old;
CREATE TABLE figure_{{unit}} (
    project_id     uuid NOT NULL,
    at             timestamptz NOT NULL,
    dimension      text NOT NULL,
    name           text NOT NULL,
    stream         text NOT NULL,
    sender_domain  text NOT NULL,
    campaign       text NOT NULL,
{_COLUMNS},
    PRIMARY KEY ({_KEY}, campaign)
) WITH (fillfactor = 50);
CREATE TABLE inbox_{{unit}} (
    project_id     uuid NOT NULL,
    at             timestamptz NOT NULL,
    dimension      text NOT NULL,
    name           text NOT NULL,
    stream         text NOT NULL,
    sender_domain  text NOT NULL,
    bucket         smallint NOT NULL,
    count          bigint NOT NULL,
    PRIMARY KEY ({_KEY}, bucket)
) WITH (fillfactor = 50);
INSERT INTO figure_{{unit}} ({_KEY}, campaign, {", ".join(_METRICS)})
SELECT {_KEY}, campaign, {_SUMS} FROM figure_{{unit}}_old
 WHERE metric IN ({", ".join(f"'{metric}'" for metric in _METRICS)})
   AND ('{{unit}}' <> 'minute' OR dimension NOT IN ('template', 'tag'))
 GROUP BY {_KEY}, campaign;
INSERT INTO inbox_{{unit}} ({_KEY}, bucket, count)
SELECT {_KEY}, substring(metric FROM 7)::smallint, sum(count) FROM figure_{{unit}}_old
 WHERE metric LIKE 'inbox%'
 GROUP BY {_KEY}, metric;
DROP TABLE figure_{{unit}}_old;
CREATE INDEX figure_{{unit}}_at ON figure_{{unit}} USING brin (at);
CREATE INDEX inbox_{{unit}}_at ON inbox_{{unit}} USING brin (at);
"""  # noqa: S608 - constants.


def upgrade() -> None:
    """Change and create."""
    for script in (_LOG, *(_OF_UNIT.format(unit=unit) for unit in ("minute", "hour", "day"))):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
