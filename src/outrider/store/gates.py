"""Gates as the nodes last told them: for `outrider queue`, `outrider why` and the console. Nobody decides by them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.store.pool import Tx


class GateState(msgspec.Struct, frozen=True):
    """One gate of a node, as it was a moment ago."""

    source: str
    provider: str  # What its limits are counted by: a provider's name, or a site's.
    state: str  # JSON: a `policy.throttle.GateView`.


# Written again even if it says the same: readers pass over what is old.
_PUT: Final = """
    INSERT INTO gate (node_id, source, provider, state, updated_at)
    SELECT $1, source, provider, state, $5
      FROM unnest($2::text[], $3::text[], $4::jsonb[]) AS given(source, provider, state)
        ON CONFLICT (node_id, source, provider)
        DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at"""
_FORGET: Final = """
    DELETE FROM gate WHERE (node_id = $1 AND updated_at < $2) OR node_id NOT IN (SELECT node_id FROM node)"""


async def put(tx: Tx, node_id: UUID, states: Sequence[GateState], *, now: datetime) -> None:
    """Write how these gates of a node are, and forget its others and those of nodes that are gone."""
    if states:
        columns = [one.source for one in states], [one.provider for one in states], [one.state for one in states]
        await tx.execute(_PUT, node_id, *columns, now)
    await tx.execute(_FORGET, node_id, now)
