"""What a database says of itself and of the queue, for `outrider doctor`: figures, judged by nobody here.

Read when somebody asks, never while mail moves. Bounded: the queue is counted up to a limit, lanes cost an index look
each.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from outrider.store import migrate
from outrider.store.pool import Tx

HEAD: Final = migrate.HEAD


class ServerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The server."""

    version: str
    is_standby: bool
    size_bytes: int
    connections_count: int
    connections_max: int
    long_count: int  # Transactions of this database open for over a minute, ours not counted.
    longest_s: float  # The oldest of all; 0: there is none.


class QueueSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The queue."""

    count: int
    due_at: datetime | None  # The first recipient in a lane that nothing holds back.
    paused_count: int
    held_count: int


_NOW: Final = """
    SELECT clock_timestamp() AS at"""
_SERVER: Final = """
    SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby,
           pg_database_size(current_database()) AS size_bytes,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections_count,
           current_setting('max_connections')::int AS connections_max,
           count(*) FILTER (WHERE age > interval '1 minute') AS long_count,
           COALESCE(extract(epoch FROM max(age)), 0)::float8 AS longest_s
      FROM (SELECT clock_timestamp() - xact_start AS age FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
               AND backend_type = 'client backend') AS open"""
_HAS_TABLES: Final = """
    SELECT to_regclass('alembic_version') IS NOT NULL AS has_tables"""
_VERSION: Final = """
    SELECT version_num FROM alembic_version"""
_PARTITIONS: Final = """
    SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'event'::regclass"""
_QUEUE: Final = """
    SELECT (SELECT count(*) FROM (SELECT FROM queue LIMIT $2) AS bounded) AS count,
           min(head.due_at) FILTER (WHERE hold_id IS NULL AND (paused_until IS NULL OR paused_until <= $1)) AS due_at,
           count(*) FILTER (WHERE hold_id IS NULL AND paused_until > $1) AS paused_count,
           count(hold_id) AS held_count
      FROM lane LEFT JOIN LATERAL (
           SELECT due_at FROM queue WHERE queue.lane_id = lane.lane_id AND due_at <= $1
            ORDER BY due_at LIMIT 1) AS head ON true"""


async def now(tx: Tx) -> datetime:
    """Return the instant by the server's clock."""
    row = await tx.fetch_row(_NOW)
    assert row is not None
    at: datetime = row["at"]
    return at


async def server(tx: Tx) -> ServerSeen:
    """Return how the server is. Transactions of other users are seen by those alone who may."""
    row = await tx.fetch_row(_SERVER)
    assert row is not None
    return ServerSeen(**row)


async def version(tx: Tx) -> str | None:
    """Return the version of the tables, None if there are none."""
    row = await tx.fetch_row(_HAS_TABLES)
    if row is None or not row["has_tables"]:
        return None
    found = await tx.fetch_row(_VERSION)
    return None if found is None else str(found["version_num"])


async def days_ahead(tx: Tx, today: date) -> int:
    """Return for how many days on end after today the event log has partitions; -1: not even for today."""
    names: Sequence[str] = [row["name"] for row in await tx.fetch(_PARTITIONS)]
    count = -1
    while f"event_{today + timedelta(days=count + 1):%Y%m%d}" in names:
        count += 1
    return count


async def queue(tx: Tx, *, now: datetime, count_max: int) -> QueueSeen:
    """Return what waits in the whole installation, counted up to `count_max`."""
    row = await tx.fetch_row(_QUEUE, now, count_max)
    assert row is not None
    return QueueSeen(**row)
