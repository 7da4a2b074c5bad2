"""API keys. Only a hash of the secret is here; whoever reads this table cannot send mail with it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class ApiKey(msgspec.Struct, frozen=True):
    """One key pair, less its secret. `revoked_at` None: it is valid."""

    access_key_id: str  # 32 lower-case hex characters.
    project_id: UUID
    secret_hash: bytes  # SHA-256 of the secret's text.
    name: str
    created_at: datetime
    revoked_at: datetime | None = None


_INSERT: Final = """
    INSERT INTO api_key (access_key_id, project_id, secret_hash, name, created_at)
    VALUES ($1, $2, $3, $4, $5)"""
_BY_ID: Final = """
    SELECT access_key_id, project_id, secret_hash, name, created_at, revoked_at
      FROM api_key WHERE access_key_id = $1"""
_OF_PROJECT: Final = """
    SELECT access_key_id, project_id, secret_hash, name, created_at, revoked_at
      FROM api_key WHERE project_id = $1 ORDER BY created_at, access_key_id"""
_REVOKE: Final = """
    UPDATE api_key SET revoked_at = COALESCE(revoked_at, $3)
     WHERE project_id = $1 AND access_key_id = $2"""


async def insert(tx: Tx, key: ApiKey) -> None:
    """Store a new key."""
    await tx.execute(_INSERT, key.access_key_id, key.project_id, key.secret_hash, key.name, key.created_at)


async def by_id(tx: Tx, access_key_id: str) -> ApiKey | None:
    """Return the key, revoked or not; None if there is none. The id is what tells the project."""
    row = await tx.fetch_row(_BY_ID, access_key_id)
    return None if row is None else ApiKey(**row)


async def of_project(tx: Tx, project_id: UUID) -> Sequence[ApiKey]:
    """Return the project's keys, oldest first, revoked ones too."""
    return [ApiKey(**row) for row in await tx.fetch(_OF_PROJECT, project_id)]


async def revoke(tx: Tx, project_id: UUID, access_key_id: str, *, now: datetime) -> bool:
    """Revoke the key from now on; False if the project has no such key. Safe twice: the first instant stays."""
    return await tx.execute(_REVOKE, project_id, access_key_id, now) > 0
