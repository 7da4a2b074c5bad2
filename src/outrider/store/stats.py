"""What became of each project's mail, counted by hour: read from the event log, so that no mail waits for its figures.

One reader at a time (`take_turn`) adds what lies behind its cursor and moves the cursor in the same transaction: every
event is counted once, whoever dies. A mail counts in the row without a tag and once more under each of its tags. Hours
are UTC, by when it happened.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind, Stream
from outrider.store.events import Cursor
from outrider.store.pool import Tx

CONSUMER: Final = "stats"  # Of the event log.
COUNTED: Final = (
    EventKind.ACCEPTED,
    EventKind.DELIVERED,
    EventKind.DEFERRED,
    EventKind.BOUNCED,
    EventKind.BOUNCED_LATE,
    EventKind.EXPIRED,
    EventKind.SUPPRESSED,
    EventKind.CANCELLED,
    EventKind.COMPLAINED,
    EventKind.UNSUBSCRIBED,
)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which figures are wanted; "" and None do not restrict."""

    since: datetime
    until: datetime  # Not included.
    unit: str  # "hour" or "day".
    group: str = ""  # "stream", "domain", "tag": a figure for each; "": for all together.
    stream: Stream | None = None
    domain: str = ""
    tag: str = ""


class Figure(msgspec.Struct, frozen=True):
    """How often something happened in one hour or day."""

    at: datetime  # Its beginning.
    name: str  # Of the group; "" without one.
    kind: EventKind
    count: int


_TAKE_TURN: Final = """
    SELECT pg_try_advisory_xact_lock(x'0d1de7'::int) AS is_ours"""
_LAST: Final = """
    SELECT xid::text::bigint AS xid, event_id, number
      FROM (SELECT xid, event_id, row_number() OVER (ORDER BY looked_at.xid, event_id) AS number
              FROM (SELECT xid, event_id, project_id FROM event
                     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                       AND at >= $3
                     ORDER BY xid, event_id LIMIT $4) AS looked_at) AS numbered
     ORDER BY number DESC LIMIT 1"""
_ADD: Final = """
    WITH told AS (
        SELECT e.project_id, date_trunc('hour', e.at, 'UTC') AS hour, e.kind, m.stream::text AS stream,
               substring(m.sender FROM '[^@]*$') AS sender_domain, m.tags,
               CASE e.kind WHEN 'accepted' THEN m.recipient_count ELSE 1 END AS n
          FROM event e JOIN message m USING (project_id, message_id)
         WHERE (e.xid, e.event_id) > ($1::text::xid8, $2) AND (e.xid, e.event_id) <= ($3::text::xid8, $4)
           AND e.at >= $5 AND e.kind = ANY($6)),
    tagged AS (
        SELECT project_id, hour, kind, stream, sender_domain, '' AS tag, n FROM told
         UNION ALL
        SELECT project_id, hour, kind, stream, sender_domain, jsonb_array_elements_text(tags), n FROM told)
    INSERT INTO stat_hour AS s (project_id, hour, kind, stream, sender_domain, tag, count)
    SELECT project_id, hour, kind, stream, sender_domain, tag, sum(n) FROM tagged
     GROUP BY project_id, hour, kind, stream, sender_domain, tag
        ON CONFLICT (project_id, hour, kind, stream, sender_domain, tag)
        DO UPDATE SET count = s.count + excluded.count"""
_READ: Final = """
    SELECT date_trunc($4, hour, 'UTC') AS at,
           CASE $5 WHEN 'stream' THEN stream WHEN 'domain' THEN sender_domain WHEN 'tag' THEN tag ELSE '' END AS name,
           kind, sum(count)::bigint AS count
      FROM stat_hour
     WHERE project_id = $1 AND hour >= $2 AND hour < $3
       AND ($6::text = '' OR stream = $6) AND ($7::text = '' OR sender_domain = $7)
       AND CASE WHEN $5 = 'tag' AND $8::text = '' THEN tag <> '' ELSE tag = $8 END
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT $9"""
_FORGET: Final = """
    DELETE FROM stat_hour WHERE project_id IS NOT NULL AND hour < $1"""


async def take_turn(tx: Tx) -> bool:
    """Return whether this transaction is the one that counts; nobody waits."""
    row = await tx.fetch_row(_TAKE_TURN)
    return bool(row and row["is_ours"])


async def count(tx: Tx, cursor: Cursor, *, since: datetime, count_max: int) -> tuple[Cursor, int]:
    """Count up to `count_max` events behind `cursor`; return where that ended and how many there were.

    Args:
        since: older events are passed over.
    """
    last = await tx.fetch_row(_LAST, str(cursor.xid), cursor.event_id, since, count_max)
    if last is None:
        return cursor, 0
    end = Cursor(last["xid"], last["event_id"])
    kinds = [kind.value for kind in COUNTED]
    await tx.execute(_ADD, str(cursor.xid), cursor.event_id, str(end.xid), end.event_id, since, kinds)
    return end, int(last["number"])


async def read(tx: Tx, project_id: UUID, asked: Asked, *, count_max: int) -> Sequence[Figure]:
    """Return the project's figures by time, name and kind; those that are 0 are left out. At most so many."""
    rows = await tx.fetch(
        _READ,
        project_id,
        asked.since,
        asked.until,
        asked.unit,
        asked.group,
        "" if asked.stream is None else asked.stream.value,
        asked.domain,
        asked.tag,
        count_max,
    )
    return [Figure(row["at"], row["name"], EventKind(row["kind"]), row["count"]) for row in rows]


async def forget(tx: Tx, before: datetime) -> None:
    """Delete the figures of the hours before that."""
    await tx.execute(_FORGET, before)
