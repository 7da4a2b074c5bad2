"""The event log: what happened, append-only, partitioned by day (UTC).

Readers follow it by cursor in the order (transaction id, event id), and only below the oldest transaction that is still
running: a commit that comes late has a transaction id above every cursor, so nobody ever skips it. That is why long
write transactions are forbidden.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind
from outrider.store.pool import StoreValueError, Tx

NIL: Final = UUID(int=0)  # In place of a message: the event is about none. In place of a project: about all of them.
OF_MESSAGE_COUNT_MAX: Final = 10_000  # Ours: 100 recipients, each with every retry of a week, is 5,200.
# Ours: how far the clock of the machine that delivered may be behind that of the one that accepted. One more partition.
_CLOCKS_APART: Final = timedelta(days=1)

Facts = Mapping[str, str | int | float | bool]


class NewEvent(msgspec.Struct, frozen=True):
    """An event about to be written. `recipient_id` None: about the whole message, or the `address` in its facts."""

    at: datetime
    project_id: UUID
    message_id: UUID
    recipient_id: UUID | None
    kind: EventKind
    attempt: int = 0
    reason: str = ""
    reply: str = ""
    facts: Facts = msgspec.field(default_factory=dict)


class Cursor(msgspec.Struct, frozen=True, order=True):
    """A place in the log: everything up to and including it has been read."""

    xid: int = 0
    event_id: int = 0


class Event(msgspec.Struct, frozen=True):
    """An event as read from the log."""

    cursor: Cursor
    at: datetime
    project_id: UUID
    message_id: UUID
    recipient_id: UUID | None
    kind: EventKind
    attempt: int
    reason: str
    reply: str
    facts: Facts

    @property
    def address(self) -> str:
        """Whom an event of no recipient is about, as its facts say: who has no mail of ours. "": nobody alone."""
        return "" if self.recipient_id is not None else str(self.facts.get("address", ""))

    def is_about(self, recipient_id: UUID) -> bool:
        """Whether it happened to that recipient of its message, or to the message as a whole."""
        return self.recipient_id == recipient_id if self.recipient_id is not None else not self.address


_encode_facts: Final = msgspec.json.Encoder().encode
_decode_facts: Final = msgspec.json.Decoder(dict[str, str | int | float | bool]).decode
_APPEND: Final = """
    INSERT INTO event (at, project_id, message_id, recipient_id, kind, attempt, reason, reply, facts)
    SELECT * FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::int[],
                         $7::text[], $8::text[], $9::jsonb[])"""
# The latest attempt's provider and source, as the recipient has them at this moment, go into the facts: what is counted
# of an event stands in it (ADR 0048).
_APPEND_AFTER: Final = """
    INSERT INTO event (at, project_id, message_id, recipient_id, kind, attempt, reason, reply, facts)
    SELECT at, project_id, message_id, recipient_id, kind, attempt, reason, reply,
           facts || COALESCE((SELECT jsonb_strip_nulls(jsonb_build_object('provider', nullif(r.provider, ''),
                                                                          'source', nullif(r.source, '')))
                                FROM recipient r
                               WHERE r.recipient_id = given.recipient_id AND r.project_id = given.project_id), '{}')
      FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::int[], $7::text[], $8::text[],
                  $9::jsonb[])
           WITH ORDINALITY
        AS given(at, project_id, message_id, recipient_id, kind, attempt, reason, reply, facts, place)
     ORDER BY place"""
_COLUMNS: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason,
           reply, facts::text AS facts
      FROM event"""
_OF_MESSAGE: Final = f"""{_COLUMNS}
     WHERE project_id = $1 AND message_id = $2 AND at >= $3 ORDER BY at, xid, event_id LIMIT $4"""
_AFTER: Final = f"""{_COLUMNS} /* tidy: project-scope consumers read every project's */
     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
     ORDER BY event.xid, event_id LIMIT $3"""
# Bounded by what is looked at, not by what is found: the last row looked at comes along, whatever it is.
_OF_KINDS: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason,
           reply, (facts - 'dialogue')::text AS facts, number
      FROM (SELECT *, row_number() OVER place AS number, lead(event_id) OVER place IS NULL AS is_last
              FROM (SELECT * FROM event /* tidy: project-scope an operator replays every project's */
                     WHERE (xid, event_id) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
                       AND at >= $3
                     ORDER BY xid, event_id LIMIT $4) AS looked_at
            WINDOW place AS (ORDER BY looked_at.xid, event_id)) AS numbered
     WHERE is_last OR kind = ANY($5) ORDER BY number"""
_AT: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason,
           reply, (facts - 'dialogue')::text AS facts
      FROM event JOIN unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS wanted(project_id, message_id, at)
           USING (project_id, message_id, at)"""
_TAKE_TURN: Final = """
    SELECT pg_try_advisory_xact_lock(x'0d1de7'::int, hashtext($1)) AS is_ours"""
_CURSOR: Final = """
    SELECT xid::text::bigint AS xid, event_id FROM feed_cursor WHERE consumer = $1"""
_MOVE: Final = """
    INSERT INTO feed_cursor (consumer, xid, event_id) VALUES ($1, $2::text::xid8, $3)
    ON CONFLICT (consumer) DO UPDATE SET xid = EXCLUDED.xid, event_id = EXCLUDED.event_id"""
_PARTITION_LOCK: Final = """
    SELECT pg_advisory_xact_lock(x'0d1de6'::int)"""


async def append(tx: Tx, events: Sequence[NewEvent]) -> None:
    """Write events, in order.

    Raises:
        StoreValueError: a text that the database cannot hold: with a NUL or half a character.
    """
    await tx.execute(_APPEND, *_columns(events))


async def append_after(tx: Tx, events: Sequence[NewEvent]) -> None:
    """Write events of what came after an attempt, such as opens, in order; they tell where the mail had gone.

    Adds `provider` and `source` of the recipient's latest attempt to the facts, where it has any.

    Raises:
        StoreValueError: as `append`.
    """
    await tx.execute(_APPEND_AFTER, *_columns(events))


async def of_message(
    tx: Tx, project_id: UUID, message_id: UUID, *, accepted_at: datetime, count_max: int = OF_MESSAGE_COUNT_MAX
) -> Sequence[Event]:
    """Return the events of the project's message, oldest first.

    Args:
        accepted_at: spares a look at the older partitions.
    """
    since = accepted_at - _CLOCKS_APART
    return [from_row(row) for row in await tx.fetch(_OF_MESSAGE, project_id, message_id, since, count_max)]


async def after(tx: Tx, cursor: Cursor, *, count_max: int) -> Sequence[Event]:
    """Return up to `count_max` events behind `cursor`, in the log's order. Never skips one that commits later."""
    return [from_row(row) for row in await tx.fetch(_AFTER, str(cursor.xid), cursor.event_id, count_max)]


async def of_kinds(
    tx: Tx, cursor: Cursor, *, since: datetime, kinds: Sequence[EventKind], count_max: int
) -> tuple[Sequence[Event], Cursor | None]:
    """Look at `count_max` events since then behind `cursor`, in the log's order; return those of these kinds.

    Returns where to look on as well; None at the end of the log. `dialogue` is left out of the facts.
    """
    rows = [dict(row) for row in await tx.fetch(_OF_KINDS, str(cursor.xid), cursor.event_id, since, count_max, kinds)]
    looked_at_count = max((row.pop("number") for row in rows), default=0)
    found = [from_row(row) for row in rows]
    is_end = looked_at_count < count_max
    return [event for event in found if event.kind in kinds], None if is_end else found[-1].cursor


async def at(tx: Tx, places: Sequence[tuple[UUID, UUID, datetime]]) -> Sequence[Event]:
    """Return the events of these (project, message, instant), in no order; without `dialogue` in the facts."""
    columns = [[place[column] for place in places] for column in range(3)]
    return [from_row(row) for row in await tx.fetch(_AT, *columns)]


async def take_turn(tx: Tx, consumer: str) -> bool:
    """Return whether this transaction alone reads for `consumer` until it ends; nobody waits."""
    row = await tx.fetch_row(_TAKE_TURN, consumer)
    return bool(row and row["is_ours"])


async def read_cursor(tx: Tx, consumer: str) -> Cursor:
    """Return how far `consumer` has read; the beginning if it has not."""
    row = await tx.fetch_row(_CURSOR, consumer)
    return Cursor() if row is None else Cursor(**row)


async def move_cursor(tx: Tx, consumer: str, cursor: Cursor) -> None:
    """Remember how far `consumer` has read."""
    await tx.execute(_MOVE, consumer, str(cursor.xid), cursor.event_id)


async def ensure_partitions(tx: Tx, first: date, days: int) -> None:
    """Make the partitions of `days` days from `first` that are missing. Safe twice and concurrently."""
    await tx.fetch(_PARTITION_LOCK)
    for day in (first + timedelta(days=offset) for offset in range(days)):
        name = f"event_{day:%Y%m%d}"
        await tx.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF event"
            f" FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
        )


def facts_text(facts: Facts) -> str:
    """Return the facts as the database takes them. Raises StoreValueError: it cannot."""
    if not facts:
        return "{}"
    try:
        return _encode_facts(facts).decode()
    except UnicodeEncodeError as error:
        raise StoreValueError("The database refused a value.", cause=str(error)) from error


def _columns(events: Sequence[NewEvent]) -> tuple[Sequence[object], ...]:
    return (
        [e.at for e in events],
        [e.project_id for e in events],
        [e.message_id for e in events],
        [e.recipient_id for e in events],
        [e.kind for e in events],
        [e.attempt for e in events],
        [e.reason for e in events],
        [e.reply for e in events],
        [facts_text(e.facts) for e in events],
    )


def from_row(row: Mapping[str, object]) -> Event:
    """Return the event of a row with all its columns, `facts` as text."""
    values = dict(row)
    cursor = Cursor(values.pop("xid"), values.pop("event_id"))  # type: ignore[arg-type]
    values["kind"] = EventKind(str(values["kind"]))
    values["facts"] = _decode_facts(str(values["facts"]))
    return Event(cursor, **values)  # type: ignore[arg-type]
