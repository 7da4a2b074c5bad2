"""Nonces of signed calls: each is taken once by its key, over all processes and restarts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from outrider.store.pool import Tx


class Nonce(msgspec.Struct, frozen=True):
    """What a signed call must not repeat."""

    access_key_id: str
    nonce: str
    at: datetime  # What the call says; once that is too old by itself, the nonce need not be remembered.


# Waits for a concurrent transaction that takes the same one: only one of them gets it.
_TAKE: Final = """
    INSERT INTO nonce (access_key_id, nonce, at)
    SELECT access_key_id, nonce, at
      FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS given(access_key_id, nonce, at)
     ORDER BY access_key_id, nonce
        ON CONFLICT DO NOTHING
 RETURNING access_key_id, nonce"""
_SWEEP: Final = """
    DELETE FROM nonce
     WHERE ctid IN (SELECT ctid FROM nonce WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""


async def take(tx: Tx, nonces: Sequence[Nonce]) -> set[tuple[str, str]]:
    """Take each that is not taken; return the pairs of key and nonce that are ours now."""
    columns = zip(*(msgspec.structs.astuple(nonce) for nonce in nonces), strict=True)
    return {(row["access_key_id"], row["nonce"]) for row in await tx.fetch(_TAKE, *map(list, columns))}


async def sweep(tx: Tx, *, before: datetime, count_max: int) -> bool:
    """Forget a batch of those of calls made before that; return whether there may be more."""
    return await tx.execute(_SWEEP, before, count_max) == count_max
