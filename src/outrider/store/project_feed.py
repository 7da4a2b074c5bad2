"""The event log as one project reads it: pages behind a cursor, and which projects have news.

No index by project: every accept and every settled mail would pay for it. A page looks at a bounded number of
everybody's events in the log's order, tells its caller where it stopped, and gives out the project's own alone. A
cursor remembers an instant beside its place in the log, so that partitions that lie far before it are not opened.

Within a page the instant bounds whole partitions and nothing finer: no index is by instant, so a finer bound would look
through a day of everybody's events to find the first of them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind, Stream
from outrider.store import events
from outrider.store.events import Cursor, Event
from outrider.store.pool import Tx

LOOKED_AT_COUNT_MAX: Final = 20_000  # Ours: about 14 ms (bench/event_feed.py); a page of a busy installation's log.
NEWS_COUNT_MAX: Final = 5_000  # Ours: what is new in a quarter of a second, with room.
# Ours: an event may be written so long after it happened and is still found: a database that was away for the weekend.
_WRITTEN_LATE: Final = timedelta(days=7)
_ID_MAX: Final = 2**63 - 1
EVER: Final = datetime(1970, 1, 31, tzinfo=UTC)  # Before any event, and no calendar ends where we subtract from it.


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in the log: everything up to it has been seen. `at`: when it was written, about."""

    cursor: Cursor
    at: datetime
    since: datetime = EVER  # What happened before is passed over, however long the reader goes on from here.


class FeedPage(msgspec.Struct, frozen=True):
    """What was found behind a position."""

    events: Sequence[Event]
    position: Position  # Where to go on.
    is_end: bool  # There is nothing more so far.


class News(msgspec.Struct, frozen=True):
    """Whose events came lately."""

    project_ids: frozenset[UUID]
    position: Position
    is_end: bool


class About(msgspec.Struct, frozen=True):
    """What a reader of an event wants to know of its message."""

    sender: str
    subject: str
    stream: Stream
    campaign: str
    tags: Sequence[str]
    metadata: Mapping[str, str]


# The last row that is looked at comes along, whoever's it is: it says where to go on.
_PAGE: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason,
           reply, (facts - 'dialogue')::text AS facts, number, is_last
      FROM (SELECT *, row_number() OVER place AS number, lead(event_id) OVER place IS NULL AS is_last
              FROM (SELECT * FROM event
                     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                       AND at >= $3
                     ORDER BY xid, event_id LIMIT $4) AS looked_at
            WINDOW place AS (ORDER BY looked_at.xid, event_id)) AS numbered
     WHERE is_last OR (project_id = $5 AND (cardinality($6::text[]) = 0 OR kind = ANY($6)) AND at >= $8)
     ORDER BY number LIMIT $7"""
_NEWS: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id
      FROM event
     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND at >= $3
     ORDER BY event.xid, event_id LIMIT $4"""
_TAIL: Final = """
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS xid"""
_ADDRESSES: Final = """
    SELECT recipient_id, address
      FROM recipient JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(project_id, recipient_id)
           USING (project_id, recipient_id)"""
_ABOUT: Final = """
    SELECT message_id, sender, subject, stream, campaign, tags::text AS tags, metadata::text AS metadata
      FROM message JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(project_id, message_id)
           USING (project_id, message_id)"""
_BY_PLACE: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason,
           reply, (facts - 'dialogue')::text AS facts
      FROM event JOIN unnest($2::text[]::xid8[], $3::bigint[], $4::timestamptz[]) AS wanted(xid, event_id, at)
           USING (xid, event_id, at)
     WHERE project_id = $1 ORDER BY event.xid, event_id"""
_AFTER: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason,
           reply, (facts - 'dialogue')::text AS facts
      FROM event
     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND at >= $3
     ORDER BY event.xid, event_id LIMIT $4"""
_read_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_read_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode


async def page(
    tx: Tx,
    project_id: UUID,
    after: Position,
    *,
    kinds: Sequence[EventKind] = (),
    count_max: int,
    looked_at_max: int = LOOKED_AT_COUNT_MAX,
) -> FeedPage:
    """Return up to `count_max` of the project's events behind `after`, in the log's order; without dialogues.

    Fewer, though more follow, when so many of others lie between, or of before `after.since`. Never skips one that
    commits later.

    Args:
        kinds: only these; () for all.

    Cost: `looked_at_max` events are read by index, whatever lies before and behind them.
    """
    words = [kind.value for kind in kinds]
    place = (str(after.cursor.xid), after.cursor.event_id, max(oldest_after(after), _day_of(after.since)))
    sought = (project_id, words, count_max, after.since)
    rows = [dict(row) for row in await tx.fetch(_PAGE, *place, looked_at_max, *sought)]
    if not rows:
        return FeedPage((), after, is_end=True)
    number, is_last = rows[-1]["number"], rows[-1]["is_last"]
    for row in rows:
        del row["number"], row["is_last"]
    found = [events.from_row(row) for row in rows]
    own = [
        one
        for one in found
        if one.project_id == project_id and (not kinds or one.kind in kinds) and one.at >= after.since
    ]
    position = Position(found[-1].cursor, found[-1].at, after.since)
    return FeedPage(own, position, is_end=is_last and number < looked_at_max)


async def news(tx: Tx, after: Position) -> News:
    """Return whose events lie behind `after`, of all projects; at most `NEWS_COUNT_MAX` events are looked at."""
    place = (str(after.cursor.xid), after.cursor.event_id, oldest_after(after))
    rows = await tx.fetch(_NEWS, *place, NEWS_COUNT_MAX)
    if not rows:
        return News(frozenset(), after, is_end=True)
    last = rows[-1]
    position = Position(Cursor(last["xid"], last["event_id"]), last["at"])
    return News(frozenset(row["project_id"] for row in rows), position, is_end=len(rows) < NEWS_COUNT_MAX)


async def tail(tx: Tx, *, now: datetime) -> Position:
    """Return the end of the log: behind it lies all that is not readable yet, and nothing else."""
    row = await tx.fetch_row(_TAIL)
    assert row is not None
    return Position(Cursor(row["xid"], _ID_MAX), now)


async def addresses(tx: Tx, wanted: Sequence[tuple[UUID, UUID]]) -> Mapping[UUID, str]:
    """Return the addresses of these recipients, each by its project's id and its own."""
    rows = await tx.fetch(_ADDRESSES, [one[0] for one in wanted], [one[1] for one in wanted])
    return {row["recipient_id"]: row["address"] for row in rows}


async def about(tx: Tx, wanted: Sequence[tuple[UUID, UUID]]) -> Mapping[UUID, About]:
    """Return what is to be said of these messages, each by its project's id and its own."""
    rows = await tx.fetch(_ABOUT, [one[0] for one in wanted], [one[1] for one in wanted])
    return {
        row["message_id"]: About(
            sender=row["sender"],
            subject=row["subject"],
            stream=Stream(row["stream"]),
            campaign=row["campaign"],
            tags=_read_tags(row["tags"]),
            metadata=_read_metadata(row["metadata"]),
        )
        for row in rows
    }


async def by_place(tx: Tx, project_id: UUID, places: Sequence[Position]) -> Sequence[Event]:
    """Return the project's events at exactly these places, in the log's order; without dialogues."""
    columns = (
        [str(one.cursor.xid) for one in places],
        [one.cursor.event_id for one in places],
        [one.at for one in places],
    )
    return [events.from_row(row) for row in await tx.fetch(_BY_PLACE, project_id, *columns)]


async def after(tx: Tx, cursor: Cursor, *, since: datetime, count_max: int) -> Sequence[Event]:
    """Return up to `count_max` events of all projects behind `cursor`, in the log's order; without dialogues.

    Never skips one that commits later. `since`: older ones are passed over.
    """
    rows = await tx.fetch(_AFTER, str(cursor.xid), cursor.event_id, since, count_max)
    return [events.from_row(row) for row in rows]


def oldest_after(position: Position) -> datetime:
    """Return the beginning of the day (UTC) before which no event behind the position can have happened."""
    return _day_of(position.at - _WRITTEN_LATE)


def _day_of(at: datetime) -> datetime:
    """Return where the partition with this instant begins: nothing in it is passed over by looking at it."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
