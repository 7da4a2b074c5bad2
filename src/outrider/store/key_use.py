"""How often keys were used, by the minute: one row a key, minute and process, so that no two wait for each other.

A process writes what it counted itself and reads what the others did. Rows of past minutes mean nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from outrider.store.pool import Tx


class KeyUse(msgspec.Struct, frozen=True):
    """The calls of one key that one process let pass in one minute."""

    access_key_id: str
    minute: datetime  # At which it began.
    calls: int


_WRITE: Final = """
    INSERT INTO key_use (access_key_id, minute, writer, calls)
    SELECT access_key_id, minute, $4, calls
      FROM unnest($1::text[], $2::timestamptz[], $3::bigint[]) AS given(access_key_id, minute, calls)
        ON CONFLICT (access_key_id, minute, writer) DO UPDATE SET calls = EXCLUDED.calls"""
_OF_OTHERS: Final = """
    SELECT access_key_id, minute, sum(calls)::bigint AS calls
      FROM key_use JOIN unnest($1::text[], $2::timestamptz[]) AS asked(access_key_id, minute)
     USING (access_key_id, minute)
     WHERE writer <> $3
     GROUP BY access_key_id, minute"""
_SWEEP: Final = """
    DELETE FROM key_use
     WHERE ctid IN (SELECT ctid FROM key_use WHERE minute < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""


async def write(tx: Tx, uses: Sequence[KeyUse], *, writer: str) -> None:
    """Write what `writer` counted, each key and minute once; the new count takes the place of its last."""
    columns = zip(*(msgspec.structs.astuple(use) for use in uses), strict=True)
    await tx.execute(_WRITE, *map(list, columns), writer)


async def of_others(
    tx: Tx, asked: Sequence[tuple[str, datetime]], *, writer: str
) -> Mapping[tuple[str, datetime], int]:
    """Return what all but `writer` counted, by key and minute; one that nobody counted is absent."""
    rows = await tx.fetch(_OF_OTHERS, *map(list, zip(*asked, strict=True)), writer)
    return {(row["access_key_id"], row["minute"]): row["calls"] for row in rows}


async def sweep(tx: Tx, *, before: datetime, count_max: int) -> bool:
    """Delete a batch of the counts of minutes before that; return whether there may be more."""
    return await tx.execute(_SWEEP, before, count_max) == count_max
