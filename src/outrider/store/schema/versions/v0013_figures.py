"""Figures by minute, hour and day, and by more than domain and tag; alerts when they leave their bounds.

A figure is the count of one thing (`metric`) in one span of time, by stream, sending domain and campaign; `dimension`
names what it is divided by beside those ('' for nothing, 'total' with all campaigns together) and `name` the part. What
was counted by hour goes on from where its counter was.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

_FIGURES = """
CREATE TABLE figure_minute (
    project_id     uuid NOT NULL,
    at             timestamptz NOT NULL,
    dimension      text NOT NULL,
    name           text NOT NULL,
    stream         text NOT NULL,
    sender_domain  text NOT NULL,
    campaign       text NOT NULL,
    metric         text NOT NULL,
    count          bigint NOT NULL,
    PRIMARY KEY (project_id, dimension, at, name, stream, sender_domain, campaign, metric)
) WITH (fillfactor = 50);
CREATE TABLE figure_hour (LIKE figure_minute INCLUDING ALL);
CREATE TABLE figure_day (LIKE figure_minute INCLUDING ALL);
INSERT INTO figure_hour (project_id, at, dimension, name, stream, sender_domain, campaign, metric, count)
SELECT project_id, hour, CASE tag WHEN '' THEN '' ELSE 'tag' END, tag, stream, sender_domain, '', kind, count
  FROM stat_hour;
INSERT INTO figure_hour (project_id, at, dimension, name, stream, sender_domain, campaign, metric, count)
SELECT project_id, hour, 'total', '', stream, sender_domain, '', kind, count FROM stat_hour WHERE tag = '';
INSERT INTO figure_day (project_id, at, dimension, name, stream, sender_domain, campaign, metric, count)
SELECT project_id, date_trunc('day', at, 'UTC'), dimension, name, stream, sender_domain, campaign, metric, sum(count)
  FROM figure_hour
 GROUP BY project_id, date_trunc('day', at, 'UTC'), dimension, name, stream, sender_domain, campaign, metric;
DROP TABLE stat_hour;
UPDATE feed_cursor SET consumer = 'figures' WHERE consumer = 'stats';
CREATE INDEX figure_minute_at ON figure_minute USING brin (at);
CREATE INDEX figure_hour_at ON figure_hour USING brin (at);
CREATE INDEX figure_day_at ON figure_day USING brin (at);
"""

_ALERTS = """
CREATE TABLE alert (
    alert_id       uuid PRIMARY KEY,
    project_id     uuid NOT NULL REFERENCES project,
    name           text NOT NULL,
    rule           jsonb NOT NULL,
    notify         text[] NOT NULL DEFAULT '{}',
    is_enabled     boolean NOT NULL DEFAULT true,
    raised_at      timestamptz,
    value          double precision,
    checked_at     timestamptz,
    check_due_at   timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    CONSTRAINT alert_name_taken UNIQUE (project_id, name)
);
CREATE INDEX alert_due ON alert (check_due_at) WHERE is_enabled;
ALTER TABLE notice ADD COLUMN recipients text[] NOT NULL DEFAULT '{}';
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_FIGURES, _ALERTS):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
