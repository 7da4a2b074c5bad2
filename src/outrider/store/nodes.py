"""Nodes: which machines are up, which pools each serves, and which addresses each sends from.

An address is used by the node that holds it and by no other, so that its limits and its warm-up are counted in one
place. A node writes its row every second; one that was not seen for a while is gone and its addresses are free.

Invariant: of nodes that were seen lately no two hold the same address. `claim` keeps it by letting one pass at a time.
Instants are the nodes' own, so their clocks must agree within a few seconds.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Row, Tx


class Node(msgspec.Struct, frozen=True):
    """One machine that runs Outrider."""

    node_id: UUID
    name: str
    pools: tuple[str, ...]  # Those that it serves.
    addresses: tuple[str, ...]  # Those that it holds.
    started_at: datetime
    seen_at: datetime


class Holder(msgspec.Struct, frozen=True):
    """An address, and the node that has it."""

    address: str
    node: str  # Its name.


# One at a time; the number is ours alone, next to those of migrate.py and events.py.
_LOCK: Final = """
    SELECT pg_advisory_xact_lock(x'0d1de7'::int)"""
_HELD: Final = """
    SELECT name, address FROM node CROSS JOIN unnest(addresses) AS address
     WHERE node_id <> $1 AND seen_at > $2 AND address = ANY($3::text[]) ORDER BY address, name LIMIT 1"""
_WRITE: Final = """
    INSERT INTO node (node_id, name, pools, addresses, started_at, seen_at)
    VALUES ($1, $2, $3::text[], $4::text[], $5, $6)
    ON CONFLICT (node_id) DO UPDATE
       SET name = EXCLUDED.name, pools = EXCLUDED.pools, addresses = EXCLUDED.addresses,
           started_at = EXCLUDED.started_at, seen_at = EXCLUDED.seen_at"""
_REMOVE: Final = """
    DELETE FROM node WHERE node_id = $1"""
_LIVE: Final = """
    SELECT node_id, name, pools, addresses, started_at, seen_at FROM node WHERE seen_at > $1 ORDER BY name, node_id"""


async def claim(tx: Tx, node: Node, *, alive_since: datetime) -> Holder | None:
    """Write the node's row, unless another that was seen after `alive_since` holds one of its addresses: return that.

    Safe: twice and concurrently; of two that want the same address at the same moment one gets it.
    """
    await tx.execute(_LOCK)  # A statement of its own: the next one sees what those before us wrote.
    held = await tx.fetch_row(_HELD, node.node_id, alive_since, node.addresses)
    if held is not None:
        return Holder(held["address"], held["name"])
    await tx.execute(_WRITE, node.node_id, node.name, node.pools, node.addresses, node.started_at, node.seen_at)
    return None


async def remove(tx: Tx, node_id: UUID) -> None:
    """Forget the node: its addresses are free. Safe twice."""
    await tx.execute(_REMOVE, node_id)


async def live(tx: Tx, *, alive_since: datetime) -> Sequence[Node]:
    """Return the nodes that were seen after `alive_since`, by name."""
    return [_node(row) for row in await tx.fetch(_LIVE, alive_since)]


def _node(row: Row) -> Node:
    fields = dict(row)
    return Node(**fields | {"pools": tuple(row["pools"]), "addresses": tuple(row["addresses"])})
