"""Senders: the From addresses a project may use.

Each belongs to one of the project's domains; whether mail may be sent is asked of both (`Sender.is_domain_verified`).
Addresses are told apart by `address_key`, which ignores case. A project's first sender is its default.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class Sender(msgspec.Struct, frozen=True):
    """One From address. `is_domain_verified` and `domain` come from its domain."""

    sender_id: UUID
    project_id: UUID
    domain_id: UUID
    domain: str
    address: str
    name: str  # The display name used when a submission gives none.
    is_default: bool
    is_enabled: bool
    is_domain_verified: bool
    created_at: datetime
    updated_at: datetime


_INSERT: Final = """
    INSERT INTO sender (sender_id, project_id, domain_id, address, address_key, name,
                        is_default, is_enabled, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6,
            NOT EXISTS (SELECT FROM sender WHERE project_id = $2 AND is_default), true, $7, $7)"""
_COLUMNS: Final = """
    SELECT sender_id, s.project_id, s.domain_id, d.name AS domain, address, s.name, is_default, is_enabled,
           d.verified_at IS NOT NULL AS is_domain_verified, s.created_at, s.updated_at
      FROM sender s JOIN domain d USING (domain_id)"""
_BY_KEY: Final = f"""{_COLUMNS}
     WHERE s.project_id = $1 AND address_key = $2"""
_OF_PROJECT: Final = f"""{_COLUMNS}
     WHERE s.project_id = $1 ORDER BY s.created_at, sender_id"""
_REMOVE_OF_DOMAIN: Final = """
    DELETE FROM sender WHERE project_id = $1 AND domain_id = $2"""


async def insert(
    tx: Tx,
    *,
    sender_id: UUID,
    project_id: UUID,
    domain_id: UUID,
    address: str,
    address_key: str,
    name: str,
    now: datetime,
) -> None:
    """Store a new sender; a project's first becomes its default.

    Args:
        address_key: what tells addresses apart, `mail.address.Address.key`.

    Raises:
        ConflictError: the project has it already.
    """
    await tx.execute(_INSERT, sender_id, project_id, domain_id, address, address_key, name, now)


async def by_key(tx: Tx, project_id: UUID, address_key: str) -> Sender | None:
    """Return the project's sender with that address key, None if it has none."""
    row = await tx.fetch_row(_BY_KEY, project_id, address_key)
    return None if row is None else Sender(**row)


async def of_project(tx: Tx, project_id: UUID) -> Sequence[Sender]:
    """Return the project's senders, oldest first."""
    return [Sender(**row) for row in await tx.fetch(_OF_PROJECT, project_id)]


async def remove_of_domain(tx: Tx, project_id: UUID, domain_id: UUID) -> None:
    """Delete the senders of a domain that goes."""
    await tx.execute(_REMOVE_OF_DOMAIN, project_id, domain_id)
