"""Figures as the counter leaves them, for tests of what reads them."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from outrider.store import events, figure_sums
from outrider.store.events import Cursor
from outrider.store.pool import Store
from outrider.testing.engineroom import PROJECT

_INSERT = """
    INSERT INTO {table} AS f (project_id, at, dimension, name, stream, sender_domain, campaign, {metric})
    VALUES ($1, date_trunc($2, $3::timestamptz, 'UTC'), $4, $5, $6, $7, $8, $9)
        ON CONFLICT (project_id, dimension, at, name, stream, sender_domain, campaign)
        DO UPDATE SET {metric} = f.{metric} + excluded.{metric}"""

_INSERT_TIME = """
    INSERT INTO {table} (project_id, at, dimension, name, stream, sender_domain, bucket, count)
    VALUES ($1, date_trunc($2, $3::timestamptz, 'UTC'), $4, $5, 'marketing', 'shop.example', $6, $7)"""

_LAST = """
    SELECT xid::text::bigint AS xid, event_id FROM event ORDER BY event.xid DESC, event_id DESC LIMIT 1"""


async def catch_up(store: Store) -> None:
    """Let the counter have read all that is in the log."""
    async with store.transaction() as tx:
        row = await tx.fetch_row(_LAST)
        await events.move_cursor(tx, figure_sums.CONSUMER, Cursor(1) if row is None else Cursor(**row))


async def take_time(store: Store, at: datetime, counts: Mapping[int, int], *, dimension: str, name: str = "") -> None:
    """Add so many deliveries to each bucket of the time to the inbox, in its minute, hour and day."""
    async with store.transaction() as tx:
        for unit in ("minute", "hour", "day"):
            sql = _INSERT_TIME.format(table=f"inbox_{unit}")
            for bucket, n in counts.items():
                await tx.execute(sql, PROJECT, unit, at, dimension, name, bucket, n)


async def count(
    store: Store,
    at: datetime,
    counts: Mapping[str, int],
    *,
    project_id: UUID = PROJECT,
    dimension: str = "",
    name: str = "",
    stream: str = "marketing",
    domain: str = "shop.example",
    campaign: str = "",
) -> None:
    """Add so much of each metric, in its minute, hour and day."""
    async with store.transaction() as tx:
        for unit in ("minute", "hour", "day"):
            for metric, n in counts.items():
                sql = _INSERT.format(table=f"figure_{unit}", metric=metric)
                await tx.execute(sql, project_id, unit, at, dimension, name, stream, domain, campaign, n)
