"""Options of a domain (MTA-STS, BIMI), and which of its records have ever passed: only those can be lost.

What fails now in a domain that had passed counts as lost, as it did before; but for a return path, which may have been
given later and never published.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

_OPTIONS = """
ALTER TABLE domain
    ADD COLUMN mta_sts           text NOT NULL DEFAULT 'off' CHECK (mta_sts IN ('off', 'testing', 'enforce', 'none')),
    ADD COLUMN bimi_logo         text NOT NULL DEFAULT '',
    ADD COLUMN bimi_certificate  text NOT NULL DEFAULT '';
CREATE INDEX domain_mta_sts ON domain (return_path) WHERE mta_sts <> 'off' AND verified_at IS NOT NULL;
"""

_PASSED = """
ALTER TABLE domain
    ADD COLUMN passed_at  timestamptz;
ALTER TABLE domain_record
    ADD COLUMN passed_at  timestamptz;
UPDATE domain SET passed_at = COALESCE(failing_since, checked_at)
 WHERE failing_since IS NOT NULL OR (state = 'passed' AND checked_at IS NOT NULL);
UPDATE domain_record SET passed_at = checked_at WHERE state = 'passed';
UPDATE domain_record r SET passed_at = d.failing_since
  FROM domain d
 WHERE d.domain_id = r.domain_id AND d.failing_since IS NOT NULL AND r.state = 'failed'
   AND r.kind NOT IN ('return_path', 'return_path_spf');
"""


def upgrade() -> None:
    """Change."""
    for script in (_OPTIONS, _PASSED):
        for statement in script.split(";\n"):
            if statement.strip():
                op.execute(statement)
