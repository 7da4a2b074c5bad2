"""Sending domains. Their DKIM keys are in `store.dkim_keys`.

Any project may claim a name, one may prove it: the database holds at most one verified row per name.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Domain(msgspec.Struct, frozen=True):
    """A domain a project sends from. `verified_at` None: nothing may be sent from it yet."""

    domain_id: UUID
    project_id: UUID
    name: str  # Lower-case A-label.
    created_at: datetime
    verified_at: datetime | None = None
    rate_per_minute: int | None = None  # How many mails may leave from it; None: no limit of its own.


NAME_TAKEN: Final = "domain_name_taken"  # The constraint.
_INSERT: Final = """
    INSERT INTO domain (domain_id, project_id, name, created_at, verified_at, rate_per_minute)
    VALUES ($1, $2, $3, $4, $5, $6)"""
_VERIFY: Final = """
    UPDATE domain SET verified_at = COALESCE(verified_at, $3) WHERE project_id = $1 AND domain_id = $2"""
_SET_RATE: Final = """
    UPDATE domain SET rate_per_minute = $3 WHERE project_id = $1 AND name = $2"""
_COLUMNS: Final = """
    SELECT domain_id, project_id, name, created_at, verified_at, rate_per_minute FROM domain WHERE project_id = $1"""
_BY_NAME: Final = f"""{_COLUMNS} AND name = $2"""
_OF_PROJECT: Final = f"""{_COLUMNS} ORDER BY name"""


async def insert(tx: Tx, domain: Domain) -> None:
    """Store a new domain.

    Raises:
        ConflictError: the project has it already (`NAME_TAKEN`), or it is verified and another project's.
    """
    await tx.execute(
        _INSERT,
        domain.domain_id,
        domain.project_id,
        domain.name,
        domain.created_at,
        domain.verified_at,
        domain.rate_per_minute,
    )


async def verify(tx: Tx, project_id: UUID, domain_id: UUID, *, now: datetime) -> None:
    """Mark the domain verified. Safe twice.

    Raises:
        ConflictError: another project has proven it.
    """
    await tx.execute(_VERIFY, project_id, domain_id, now)


async def set_rate(tx: Tx, project_id: UUID, name: str, rate_per_minute: int | None) -> None:
    """Let so many mails a minute leave from the project's domain of that name; None takes the limit away."""
    await tx.execute(_SET_RATE, project_id, name, rate_per_minute)


async def by_name(tx: Tx, project_id: UUID, name: str) -> Domain | None:
    """Return the project's domain of that name (lower-case A-label), None if it has none."""
    row = await tx.fetch_row(_BY_NAME, project_id, name)
    return None if row is None else Domain(**row)


async def of_project(tx: Tx, project_id: UUID) -> Sequence[Domain]:
    """Return the project's domains by name."""
    return [Domain(**row) for row in await tx.fetch(_OF_PROJECT, project_id)]
