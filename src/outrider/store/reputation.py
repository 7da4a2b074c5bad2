"""Why mail was deferred: read from the event log, newest first, no further than so many events of a project."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Cause(msgspec.Struct, frozen=True):
    """A reason for which a provider deferred mail."""

    reason: str
    provider: str  # "": one that we have no name for.
    count: int  # Attempts.


_CAUSES: Final = """
    SELECT reason, provider, count(*)::bigint AS count
      FROM unnest($1::uuid[]) AS of_project(id) CROSS JOIN LATERAL (
        SELECT kind, reason, COALESCE(facts ->> 'provider', '') AS provider FROM event
         WHERE project_id = of_project.id AND at >= $2 AND at < $3 ORDER BY at DESC LIMIT $4) AS looked_at
     WHERE kind = 'deferred'
     GROUP BY reason, provider ORDER BY count DESC, reason, provider LIMIT $5"""


async def causes(
    tx: Tx, project_ids: Sequence[UUID], *, since: datetime, until: datetime, look_max: int, count_max: int
) -> Sequence[Cause]:
    """Return the reasons and providers that deferred most, the most first.

    Args:
        look_max: of each project so many of its latest events are looked at.
    """
    rows = await tx.fetch(_CAUSES, project_ids, since, until, look_max, count_max)
    return [Cause(row["reason"], row["provider"], row["count"]) for row in rows]
