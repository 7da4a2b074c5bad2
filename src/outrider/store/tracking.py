"""What projects and their domains say of tracking, as JSON; `services.tracking_terms` knows what it means."""

from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecordKind, RecordState
from outrider.store.pool import Tx

# Of a mail of project `p`, from its domain `d` if that is the project's: whether its readers are nobody's to know.
IS_PRIVATE: Final = "COALESCE((d.tracking->>'is_private')::bool, (p.tracking->>'is_private')::bool, false)"


class Said(msgspec.Struct, frozen=True):
    """What holds for a domain's mail, before anything is merged."""

    project: str = "{}"  # The project's terms.
    domain: str = "{}"  # The domain's; "{}" too where the project has no such domain.
    host: str = ""  # The domain's tracking host, where it leads to us; "": none.


_OF_MAIL: Final = """
    SELECT p.tracking::text AS project, COALESCE(d.tracking::text, '{}') AS domain,
           CASE WHEN r.state = $4 OR (r.state IS NULL AND d.verified_at IS NOT NULL)
                THEN d.tracking_host ELSE '' END AS host
      FROM project p
      LEFT JOIN domain d ON d.project_id = p.project_id AND d.name = $2
      LEFT JOIN domain_record r ON r.project_id = d.project_id AND r.domain_id = d.domain_id
                               AND r.kind = $3 AND r.host = d.tracking_host
     WHERE p.project_id = $1"""


async def of_mail(tx: Tx, project_id: UUID, domain: str) -> Said:
    """Return what is said of a project's mail from `domain`.

    A host counts once its record has passed; where nobody has looked, on the word that proved the domain.
    """
    row = await tx.fetch_row(_OF_MAIL, project_id, domain, RecordKind.TRACKING, RecordState.PASSED)
    return Said() if row is None else Said(row["project"], row["domain"], row["host"] or "")


_SET_OF_PROJECT: Final = """
    UPDATE project SET tracking = $2::text::jsonb WHERE project_id = $1"""


async def set_of_project(tx: Tx, project_id: UUID, terms: str) -> None:
    """Keep a project's terms."""
    await tx.execute(_SET_OF_PROJECT, project_id, terms)


_SET_OF_DOMAIN: Final = """
    UPDATE domain SET tracking = $3::text::jsonb WHERE project_id = $1 AND name = $2 RETURNING domain_id"""


async def set_of_domain(tx: Tx, project_id: UUID, domain: str, terms: str) -> bool:
    """Keep the terms of a project's domain; False if it has no such domain."""
    return bool(await tx.fetch(_SET_OF_DOMAIN, project_id, domain, terms))
