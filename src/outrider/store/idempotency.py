"""Answers kept by idempotency key: the same request sent again gets its first answer and sends nothing."""

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
    answer: bytes


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


async def claim(tx: Tx, answers: Sequence[KeyedAnswer], *, now: datetime) -> set[tuple[UUID, str]]:
    """Store each answer unless its key is taken; return the (project, key) pairs that are ours now."""
    columns = list(zip(*(msgspec.structs.astuple(answer) for answer in answers), strict=True))
    rows = await tx.fetch(_CLAIM, *columns, now)
    return {(row["project_id"], row["idempotency_key"]) for row in rows}


async def find(tx: Tx, keys: Sequence[tuple[UUID, str]]) -> dict[tuple[UUID, str], KeyedAnswer]:
    """Return what is stored under these keys."""
    rows = await tx.fetch(_FIND, *map(list, zip(*keys, strict=True)))
    return {(row["project_id"], row["idempotency_key"]): KeyedAnswer(**row) for row in rows}


async def release(tx: Tx, keys: Sequence[tuple[UUID, str]]) -> None:
    """Give back keys that this transaction claimed: nothing was done under them."""
    await tx.execute(_RELEASE, *map(list, zip(*keys, strict=True)))
