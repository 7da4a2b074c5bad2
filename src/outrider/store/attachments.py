"""Files that travel with mail: their octets, once per project and content.

What a file is called, and of which type it is, the message says (`messages.FileRef`): the same may have two names.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from outrider.store.pool import Tx

_INSERT: Final = """
    INSERT INTO attachment (project_id, content_hash, body, created_at)
    SELECT project_id, content_hash, body, $4
      FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS given(project_id, content_hash, body)
     ORDER BY project_id, content_hash
    ON CONFLICT DO NOTHING"""
_LOAD: Final = """
    SELECT content_hash, body FROM attachment WHERE project_id = $1 AND content_hash = ANY($2::bytea[])"""


async def insert(tx: Tx, files: Sequence[tuple[UUID, bytes, bytes]], *, now: datetime) -> None:
    """Store (project, hash, octets) that are not there yet. In hash order, so that two nodes cannot deadlock."""
    columns = list(zip(*files, strict=True))
    await tx.execute(_INSERT, *columns, now)


async def load(tx: Tx, project_id: UUID, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
    """Return the octets of the project's files by their hashes; those that are gone are missing."""
    return {row["content_hash"]: row["body"] for row in await tx.fetch(_LOAD, project_id, list(hashes))}
