"""What DNS said of each record of a sending domain when it was last asked.

A row is known by its kind and host. What is wanted is not kept: `policy.records` plans it anew; a row of a record that
nobody wants any more goes with the next check.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.store.pool import Tx


class SeenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record, as it was seen."""

    kind: RecordKind
    host: str
    state: RecordState  # Where nobody answered, that of before.
    cause: RecordCause
    seen: Sequence[str]
    advice: str
    publish: str  # What belongs there, merged with what is there; "": as planned.
    checked_at: datetime
    failing_since: datetime | None  # Since when it has been failing without a break.
    passed_at: datetime | None = None  # When it was last seen to pass; None: never.


_OF_DOMAIN: Final = """
    SELECT kind, host, state, cause, seen, advice, publish, checked_at, failing_since, passed_at
      FROM domain_record WHERE project_id = $1 AND domain_id = $2 ORDER BY kind, host"""
_FORGET: Final = """
    DELETE FROM domain_record WHERE project_id = $1 AND domain_id = $2"""
_INSERT: Final = """
    INSERT INTO domain_record (project_id, domain_id, kind, host, state, cause, seen, advice, publish,
                               checked_at, failing_since, passed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""


async def of_domain(tx: Tx, project_id: UUID, domain_id: UUID) -> Sequence[SeenRecord]:
    """Return what was seen of the project's domain, by kind and host; [] if nobody has looked."""
    rows = await tx.fetch(_OF_DOMAIN, project_id, domain_id)
    return [msgspec.convert(dict(row), SeenRecord, strict=False) for row in rows]


async def replace(tx: Tx, project_id: UUID, domain_id: UUID, records: Sequence[SeenRecord]) -> None:
    """Keep these, each (kind, host) once, and nothing else of the domain. The caller holds its lock."""
    await tx.execute(_FORGET, project_id, domain_id)
    for one in records:  # A dozen at most.
        await tx.execute(
            _INSERT,
            project_id,
            domain_id,
            one.kind,
            one.host,
            one.state,
            one.cause,
            list(one.seen),
            one.advice,
            one.publish,
            one.checked_at,
            one.failing_since,
            one.passed_at,
        )
