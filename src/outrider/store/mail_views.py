"""A project's messages read for people: lists with filters, and one message's events, page by page.

A page looks at a bounded number of messages, newest first, and keeps those that match: what it costs does not depend on
how rare the match is, and no filter needs an index of its own, which every accept would pay for. So a page may hold
fewer than were asked for, or none, though more follow; `next_place` says where to look on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base.vocab import RecipientStatus, Stream
from outrider.store import events
from outrider.store.events import Event
from outrider.store.pool import Tx, like_literal

LOOKED_AT_COUNT_MAX: Final = 10_000  # Ours: 7 ms by tag, 15 ms by recipient (bench/mail_lists.py, 2026-11).
_ADDRESSES_COUNT: Final = 5  # Ours: of a message's recipients, in a list.
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(msgspec.Struct, frozen=True):
    """A place in the list: everything before it has been seen. Newest first."""

    accepted_at: datetime
    message_id: UUID


class EventPlace(msgspec.Struct, frozen=True):
    """A place in one message's events: everything up to it has been seen. Oldest first."""

    at: datetime
    xid: int
    event_id: int


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages are wanted; "" and None do not restrict."""

    since: datetime | None = None
    stream: Stream | None = None
    campaign: str = ""
    sender: str = ""  # In lower case, as is `recipient`.
    recipient: str = ""
    tag: str = ""
    subject: str = ""  # A part of it, in any case.
    statuses: Sequence[RecipientStatus] = ()  # At least one recipient is in one of these.


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a list."""

    message_id: UUID
    sender: str
    from_name: str
    subject: str
    stream: Stream
    campaign: str
    list_name: str
    tags: Sequence[str]
    accepted_at: datetime
    send_at: datetime | None
    recipient_count: int
    template_id: str = ""  # The stored template it was made from; "" and 0: none.
    template_number: int = 0
    addresses: Sequence[str] = ()  # The first few recipients.
    counts: Mapping[str, int] = {}  # Recipients by status.


# The recipients are asked one message at a time (a subquery with LIMIT): as a join the planner may read all of them.
_PAGE: Final = """
    SELECT message_id, sender, from_name, subject, stream, campaign, list_name, tags::text AS tags, recipient_count,
           accepted_at, send_at, template_id, template_number
      FROM (SELECT message_id, sender, from_name, subject, stream, campaign, list_name, tags, recipient_count,
                   accepted_at, send_at, template_id, template_number
              FROM message
             WHERE project_id = $1 AND accepted_at >= $2 AND (accepted_at, message_id) < ($3, $4)
             ORDER BY accepted_at DESC, message_id DESC LIMIT $5) AS looked_at
     WHERE ($6::text = '' OR stream::text = $6) AND ($7::text = '' OR campaign = $7)
       AND ($8::text = '' OR lower(sender) = $8) AND ($9::text = '' OR tags ? $9)
       AND ($10::text = '' OR subject ILIKE $10)
       AND (($11::text = '' AND cardinality($12::text[]) = 0)
            OR (SELECT true FROM recipient r
                 WHERE r.project_id = $1 AND r.message_id = looked_at.message_id
                   AND ($11::text = '' OR lower(r.address) = $11)
                   AND (cardinality($12::text[]) = 0 OR r.status = ANY($12)) LIMIT 1))
     ORDER BY accepted_at DESC, message_id DESC LIMIT $13"""
_LAST_LOOKED_AT: Final = """
    SELECT accepted_at, message_id FROM message
     WHERE project_id = $1 AND accepted_at >= $2 AND (accepted_at, message_id) < ($3, $4)
     ORDER BY accepted_at DESC, message_id DESC OFFSET $5 LIMIT 1"""
_RECIPIENTS: Final = """
    SELECT message_id, (array_agg(address ORDER BY recipient_id))[1:$3::int] AS addresses, array_agg(status) AS statuses
      FROM recipient WHERE project_id = $1 AND message_id = ANY($2::uuid[]) GROUP BY message_id"""
_EVENTS: Final = """
    SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason, reply,
           (facts - 'dialogue')::text AS facts
      FROM event
     WHERE project_id = $1 AND message_id = $2 AND at >= $3
       AND (at, xid, event_id) > ($4, $5::text::xid8, $6)
     ORDER BY event.at, event.xid, event_id LIMIT $7"""
_read_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode


async def page(
    tx: Tx, project_id: UUID, filters: Filters, before: Place, *, count_max: int
) -> tuple[Sequence[Listed], Place | None]:
    """Return up to `count_max` of the project's messages that match, newest first, and where to look on.

    None: there are no more.
    """
    since = filters.since or _LONG_AGO
    scope = (project_id, since, before.accepted_at, before.message_id)
    rows = await tx.fetch(
        _PAGE,
        *scope,
        LOOKED_AT_COUNT_MAX,
        "" if filters.stream is None else filters.stream.value,
        filters.campaign,
        filters.sender,
        filters.tag,
        f"%{like_literal(filters.subject)}%" if filters.subject else "",
        filters.recipient,
        [status.value for status in filters.statuses],
        count_max,
    )
    if len(rows) >= count_max:
        next_place: Place | None = Place(rows[-1]["accepted_at"], rows[-1]["message_id"])
    else:
        last = await tx.fetch_row(_LAST_LOOKED_AT, *scope, LOOKED_AT_COUNT_MAX - 1)
        next_place = None if last is None else Place(**last)
    ids = [row["message_id"] for row in rows]
    known = {row["message_id"]: row for row in await tx.fetch(_RECIPIENTS, project_id, ids, _ADDRESSES_COUNT)}
    return [_listed(row, known.get(row["message_id"])) for row in rows], next_place


async def events_page(
    tx: Tx, project_id: UUID, message_id: UUID, after: EventPlace, *, since: datetime, count_max: int
) -> Sequence[Event]:
    """Return up to `count_max` events of the project's message behind `after`, oldest first; without dialogues.

    Args:
        since: spares a look at the older partitions.
    """
    rows = await tx.fetch(_EVENTS, project_id, message_id, since, after.at, str(after.xid), after.event_id, count_max)
    return [events.from_row(row) for row in rows]


def _listed(row: Mapping[str, Any], known: Mapping[str, Any] | None) -> Listed:
    values = dict(row)
    values["stream"] = Stream(values["stream"])
    values["tags"] = () if values["tags"] == "[]" else _read_tags(values["tags"])
    if known is not None:
        values["addresses"], values["counts"] = known["addresses"], Counter(known["statuses"])
    return Listed(**values)
