"""Domains that providers trust: what DNS says of each record, keys that rotate, senders that are proven, notices.

A domain sends while it is verified and not stopped (`verified_at`, `stopped_at`); `state` is what the last check saw.
Whoever checks one moves its `check_due_at` ahead first, so that nobody else does, and dies without harm.
A key signs while it is `signing`; only one whose record has been seen in DNS, or taken on somebody's word, gets there.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

_DOMAINS = """
ALTER TABLE domain
    ADD COLUMN stream         stream,
    ADD COLUMN state          text NOT NULL DEFAULT 'unverified' CHECK (state IN ('unverified', 'passed', 'failed')),
    ADD COLUMN checked_at     timestamptz,
    ADD COLUMN check_due_at   timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN failing_since  timestamptz,
    ADD COLUMN stopped_at     timestamptz,
    ADD COLUMN return_path    text NOT NULL DEFAULT '',
    ADD COLUMN tracking_host  text NOT NULL DEFAULT '',
    ADD COLUMN dkim_prefix    text NOT NULL DEFAULT '',
    ADD COLUMN is_delegated   boolean NOT NULL DEFAULT false,
    ADD COLUMN senders        text NOT NULL DEFAULT 'listed' CHECK (senders IN ('listed', 'any'));
UPDATE domain SET state = 'passed' WHERE verified_at IS NOT NULL;
CREATE INDEX domain_check_due ON domain (check_due_at);
CREATE INDEX domain_stopped ON domain (project_id, name) WHERE stopped_at IS NOT NULL;
CREATE TABLE domain_record (
    domain_id      uuid NOT NULL REFERENCES domain ON DELETE CASCADE,
    project_id     uuid NOT NULL REFERENCES project,
    kind           text NOT NULL,
    host           text NOT NULL,
    state          text NOT NULL CHECK (state IN ('unverified', 'passed', 'failed')),
    cause          text NOT NULL DEFAULT '',
    seen           text[] NOT NULL DEFAULT '{}',
    advice         text NOT NULL DEFAULT '',
    publish        text NOT NULL DEFAULT '',
    checked_at     timestamptz NOT NULL,
    failing_since  timestamptz,
    PRIMARY KEY (domain_id, kind, host)
);
"""

# Keys that sign already go on; those of domains nobody has verified wait to be seen.
_KEYS = """
ALTER TABLE dkim_key
    ADD COLUMN state         text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'signing', 'retiring', 'retired')),
    ADD COLUMN is_own        boolean NOT NULL DEFAULT false,
    ADD COLUMN is_delegated  boolean NOT NULL DEFAULT false,
    ADD COLUMN seen_at       timestamptz,
    ADD COLUMN missing_at    timestamptz,
    ADD COLUMN signing_at    timestamptz,
    ADD COLUMN retiring_at   timestamptz,
    ADD COLUMN retired_at    timestamptz;
UPDATE dkim_key SET state = 'signing', signing_at = created_at
 WHERE domain_id IN (SELECT domain_id FROM domain WHERE verified_at IS NOT NULL);
"""

# A sender without a domain of the project's is a single mailbox, proven by a link.
_SENDERS = """
ALTER TABLE sender
    ALTER COLUMN domain_id DROP NOT NULL,
    ADD COLUMN proven_at         timestamptz,
    ADD COLUMN proof_hash        bytea,
    ADD COLUMN proof_expires_at  timestamptz;
CREATE UNIQUE INDEX sender_proof ON sender (proof_hash) WHERE proof_hash IS NOT NULL;
CREATE INDEX sender_domain ON sender (domain_id);
ALTER TABLE project
    ADD COLUMN alignment       text NOT NULL DEFAULT 'refuse' CHECK (alignment IN ('refuse', 'rewrite')),
    ADD COLUMN notice_address  text NOT NULL DEFAULT '';
"""

# What people should know of; the nil project is the operator's.
_NOTICES = """
CREATE TABLE notice (
    notice_id   uuid PRIMARY KEY,
    project_id  uuid NOT NULL,
    kind        text NOT NULL,
    subject     text NOT NULL,
    text        text NOT NULL,
    at          timestamptz NOT NULL,
    seen_at     timestamptz,
    mailed_at   timestamptz
);
CREATE INDEX notice_project ON notice (project_id, at);
"""


def upgrade() -> None:
    """Change and create."""
    for script in (_DOMAINS, _KEYS, _SENDERS, _NOTICES):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
