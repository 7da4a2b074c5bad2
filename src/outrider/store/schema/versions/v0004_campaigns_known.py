"""Campaigns and lists known: of which campaign a mail is and for which list, lanes, figures and guards by campaign.

What is there is of no campaign and no list. No row is rewritten: the new columns have constant defaults. The keys grow
by the campaign, so their indexes are built anew: of `lane` and of two small tables, never of mail.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

_CAMPAIGNS = """
ALTER TABLE message ADD COLUMN campaign text NOT NULL DEFAULT '', ADD COLUMN list_name text NOT NULL DEFAULT '';
ALTER TABLE lane ADD COLUMN campaign text NOT NULL DEFAULT '';
ALTER TABLE lane DROP CONSTRAINT lane_key;
ALTER TABLE lane ADD CONSTRAINT lane_key UNIQUE (project_id, stream, route, sender_domain, pool, shard, campaign);
ALTER TABLE sending_hour ADD COLUMN campaign text NOT NULL DEFAULT '';
ALTER TABLE sending_hour DROP CONSTRAINT sending_hour_pkey;
ALTER TABLE sending_hour ADD PRIMARY KEY (hour, project_id, sender_domain, stream, campaign, writer);
ALTER TABLE guard ADD COLUMN campaign text NOT NULL DEFAULT '';
ALTER TABLE guard DROP CONSTRAINT guard_pkey;
ALTER TABLE guard ADD PRIMARY KEY (project_id, sender_domain, stream, campaign);
"""


def upgrade() -> None:
    """Change."""
    for statement in _CAMPAIGNS.split(";\n"):
        if statement.strip():
            op.execute(statement)
