"""Answers kept by idempotency key: the same request sent again gets its first answer and sends nothing.

One call's answer is stored in the commit that keeps its mail. A batch has many: its key is claimed before the first,
with no answer yet (b""), each mail has a key of its own made from it, and the answer is filled in at the end. So a
batch that died half way is gone through again and sends nothing twice.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class KeyedAnswer(msgspec.Struct, frozen=True):
    """The answer given to the first request that carried this key."""

    project_id: UUID
    idempotency_key: str
    request_hash: bytes  # SHA-256 of the request; a second request with another one is a conflict.
    answer: bytes  # b"": none yet.


# Waits for a concurrent transaction that holds the same key: only one of them gets it.
_CLAIM: Final = """
    INSERT INTO idempotency (project_id, idempotency_key, request_hash, answer, created_at)
    SELECT project_id, idempotency_key, request_hash, answer, $5
      FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[])
        AS given(project_id, idempotency_key, request_hash, answer)
     ORDER BY project_id, idempotency_key
    ON CONFLICT DO NOTHING
 RETURNING project_id, idempotency_key"""
_FIND: Final = """
    SELECT project_id, idempotency_key, request_hash, answer
      FROM idempotency JOIN unnest($1::uuid[], $2::text[]) AS asked(project_id, idempotency_key)
     USING (project_id, idempotency_key)"""
_RELEASE: Final = """
    DELETE FROM idempotency USING unnest($1::uuid[], $2::text[]) AS given(project_id, idempotency_key)
     WHERE idempotency.project_id = given.project_id AND idempotency.idempotency_key = given.idempotency_key"""


_FILL: Final = """
    UPDATE idempotency SET answer = CASE WHEN answer = ''::bytea THEN $3 ELSE answer END
     WHERE project_id = $1 AND idempotency_key = $2
 RETURNING answer"""
_SWEEP: Final = """
    DELETE FROM idempotency
     WHERE (project_id, idempotency_key) IN (
           SELECT project_id, idempotency_key FROM idempotency WHERE created_at < $1 LIMIT $2)"""


async def claim(tx: Tx, answers: Sequence[KeyedAnswer], *, now: datetime) -> set[tuple[UUID, str]]:
    """Store each answer unless its key is taken; return the (project, key) pairs that are ours now."""
    columns = list(zip(*(msgspec.structs.astuple(answer) for answer in answers), strict=True))
    rows = await tx.fetch(_CLAIM, *columns, now)
    return {(row["project_id"], row["idempotency_key"]) for row in rows}


async def find(tx: Tx, keys: Sequence[tuple[UUID, str]]) -> dict[tuple[UUID, str], KeyedAnswer]:
    """Return what is stored under these keys."""
    rows = await tx.fetch(_FIND, *map(list, zip(*keys, strict=True)))
    return {(row["project_id"], row["idempotency_key"]): KeyedAnswer(**row) for row in rows}


async def fill(tx: Tx, project_id: UUID, idempotency_key: str, answer: bytes) -> bytes | None:
    """Store the answer of a claimed key, unless somebody has; return what is stored, None if the key is gone."""
    row = await tx.fetch_row(_FILL, project_id, idempotency_key, answer)
    return None if row is None else bytes(row["answer"])


async def sweep(tx: Tx, *, before: datetime, count_max: int) -> bool:
    """Delete up to `count_max` keys that were claimed before; return whether there may be more."""
    return await tx.execute(_SWEEP, before, count_max) >= count_max


async def release(tx: Tx, keys: Sequence[tuple[UUID, str]]) -> None:
    """Give back keys that this transaction claimed: nothing was done under them."""
    await tx.execute(_RELEASE, *map(list, zip(*keys, strict=True)))
