"""The event log of one project searched by anything in a mail's life, newest first.

A page looks at a bounded number of the project's events, by the index of its project and instant (or of one message),
and keeps those that match: what it costs does not depend on how rare a match is, and no filter needs an index of its
own, which every accept and settle would pay for. So a page may hold fewer than were asked for, or none, though more
follow. A message or a recipient is read only where a filter asks for it, one row at a time by its key. An event of no
recipient may name an address in its facts; else it is found by all recipients of its message.

The filters are plain SQL with clauses that a "" or an empty list switches off, as in `mail_views`: two statements that
are prepared once, where composed ones would be as many as there are combinations.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import EventKind
from outrider.store import events
from outrider.store.events import Event
from outrider.store.pool import Tx

LOOKED_AT_COUNT_MAX: Final = 5_000  # Ours: events a statement, each with its message and recipient where asked for.


class SearchPlace(msgspec.Struct, frozen=True):
    """A place in the answer: everything before it has been seen. Newest first."""

    at: datetime
    xid: int
    event_id: int


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; "", () and None do not restrict. All of them hold together."""

    since: datetime
    message_id: UUID | None = None
    kinds: Sequence[EventKind] = ()
    reason: str = ""
    provider: str = ""
    source: str = ""  # The name of one of our sources.
    remote: str = ""  # A part of the other server's name, or its address or that of a reader.
    tls: str = ""  # A part of what is known of the encryption.
    reply: str = ""  # A part.
    url: str = ""  # A part of a link.
    agent: str = ""  # A part of a reader's agent or client.
    country: str = ""
    recipient: str = ""  # A part of an address, in lower case: "ann@", "@example.com" or all of it.
    sender: str = ""  # A part, in lower case.
    subject: str = ""  # A part.
    template_id: str = ""
    campaign: str = ""
    list_name: str = ""
    tag: str = ""
    metadata: Mapping[str, str] = {}
    words: str = ""  # A part of nearly anything of these.


class Found(msgspec.Struct, frozen=True):
    """A page of a search."""

    events: Sequence[Event]
    next_place: SearchPlace | None  # Where to look on; None: there are no more.


_OF_PROJECT: Final = """
            SELECT * FROM event
             WHERE project_id = $1 AND at >= $2 AND at <= $3 AND (at, xid, event_id) < ($3, $4::text::xid8, $5)
               AND $7::uuid IS NULL
             ORDER BY at DESC, xid DESC, event_id DESC LIMIT $6"""
_OF_MESSAGE: Final = """
            SELECT * FROM event
             WHERE project_id = $1 AND at >= $2 AND at <= $3 AND (at, xid, event_id) < ($3, $4::text::xid8, $5)
               AND message_id = $7
             ORDER BY at DESC, xid DESC, event_id DESC LIMIT $6"""
# The project is asked for beside the key, not in WHERE: with old statistics the planner would read all of its mail.
_MATCHES: Final = """
   WHERE (cardinality($8::text[]) = 0 OR kind = ANY($8))
     AND ($9::text = '' OR reason = $9)
     AND ($10::text = '' OR lower(facts ->> 'provider') = lower($10))
     AND ($11::text = '' OR facts ->> 'source' = $11)
     AND ($12::text = '' OR facts ->> 'host' ILIKE $12 OR facts ->> 'ip' ILIKE $12 OR facts ->> 'client' ILIKE $12)
     AND ($13::text = '' OR facts ->> 'tls' ILIKE $13)
     AND ($14::text = '' OR reply ILIKE $14)
     AND ($15::text = '' OR facts ->> 'url' ILIKE $15)
     AND ($16::text = '' OR facts ->> 'agent' ILIKE $16 OR facts ->> 'client' ILIKE $16)
     AND ($17::text = '' OR facts ->> 'country' = upper($17))
     AND ($18::text = '' OR CASE
          WHEN recipient_id IS NOT NULL
          THEN (SELECT r.project_id = $1 AND r.address ILIKE $18
                  FROM recipient r WHERE r.recipient_id = looked_at.recipient_id)
          WHEN facts ? 'address' THEN facts ->> 'address' ILIKE $18
          ELSE (SELECT bool_or(r.project_id = $1 AND r.address ILIKE $18)
                  FROM recipient r WHERE r.message_id = looked_at.message_id) END)
     AND (NOT $26::boolean
          OR (SELECT m.project_id = $1
                 AND ($19::text = '' OR m.sender ILIKE $19) AND ($20::text = '' OR m.subject ILIKE $20)
                 AND ($21::text = '' OR m.template_id = $21) AND ($22::text = '' OR m.campaign = $22)
                 AND ($23::text = '' OR m.list_name = $23) AND ($24::text = '' OR m.tags ? $24)
                 AND ($25::text = '{}' OR m.metadata @> $25::text::jsonb)
                FROM message m WHERE m.message_id = looked_at.message_id))
     AND ($27::text = '' OR reply ILIKE $27 OR reason ILIKE $27 OR facts ->> 'url' ILIKE $27
          OR facts ->> 'host' ILIKE $27 OR facts ->> 'ip' ILIKE $27 OR facts ->> 'agent' ILIKE $27
          OR (SELECT m.project_id = $1
                 AND (m.subject ILIKE $27 OR m.sender ILIKE $27 OR m.campaign ILIKE $27 OR m.tags::text ILIKE $27)
                FROM message m WHERE m.message_id = looked_at.message_id)
          OR CASE
             WHEN recipient_id IS NOT NULL
             THEN (SELECT r.project_id = $1 AND r.address ILIKE $27
                     FROM recipient r WHERE r.recipient_id = looked_at.recipient_id)
             WHEN facts ? 'address' THEN facts ->> 'address' ILIKE $27
             ELSE (SELECT bool_or(r.project_id = $1 AND r.address ILIKE $27)
                     FROM recipient r WHERE r.message_id = looked_at.message_id) END)"""
_COLUMNS: Final = """
  SELECT xid::text::bigint AS xid, event_id, at, project_id, message_id, recipient_id, kind, attempt, reason, reply,
         (facts - 'dialogue')::text AS facts"""
_NEWEST: Final = "ORDER BY looked_at.at DESC, looked_at.xid DESC, event_id DESC"
_IN_PROJECT: Final = f"""{_COLUMNS}
    FROM ({_OF_PROJECT}) AS looked_at{_MATCHES} {_NEWEST} LIMIT $28"""
_IN_MESSAGE: Final = f"""{_COLUMNS}
    FROM ({_OF_MESSAGE}) AS looked_at{_MATCHES} {_NEWEST} LIMIT $28"""
_LAST: Final = """
    SELECT at, xid::text::bigint AS xid, event_id FROM event
     WHERE project_id = $1 AND at >= $2 AND at <= $3 AND (at, xid, event_id) < ($3, $4::text::xid8, $5)
       AND ($7::uuid IS NULL OR message_id = $7)
     ORDER BY event.at DESC, event.xid DESC, event_id DESC OFFSET $6 LIMIT 1"""
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


async def page(
    tx: Tx,
    project_id: UUID,
    search: Search,
    before: SearchPlace,
    *,
    count_max: int,
    looked_at_max: int = LOOKED_AT_COUNT_MAX,
) -> Found:
    """Return up to `count_max` of the project's events before `before` that match, newest first; without dialogues.

    Cost: `looked_at_max` events are read by index, whatever lies before and behind them.

    Raises:
        StoreValueError: a text that the database cannot hold: with a NUL or half a character.
    """
    scope = (project_id, search.since, before.at, str(before.xid), before.event_id)
    sql = _IN_PROJECT if search.message_id is None else _IN_MESSAGE
    rows = await tx.fetch(sql, *scope, looked_at_max, search.message_id, *_filters(search), count_max)
    found = [events.from_row(row) for row in rows]
    if len(found) >= count_max:
        last = found[-1]
        return Found(found, SearchPlace(last.at, last.cursor.xid, last.cursor.event_id))
    end = await tx.fetch_row(_LAST, *scope, looked_at_max - 1, search.message_id)
    return Found(found, None if end is None else SearchPlace(**end))


def _filters(search: Search) -> Sequence[object]:
    metadata = _encode(search.metadata).decode()
    mail = (search.template_id, search.campaign, search.list_name, search.tag, metadata)
    return (
        [kind.value for kind in search.kinds],
        search.reason,
        search.provider,
        search.source,
        *(_part(text) for text in (search.remote, search.tls, search.reply, search.url, search.agent)),
        search.country,
        *(_part(text) for text in (search.recipient, search.sender, search.subject)),
        *mail,
        bool(search.sender or search.subject or any(mail[:-1]) or search.metadata),
        _part(search.words),
    )


def _part(text: str) -> str:
    """Return the LIKE pattern of whatever holds this text, which stands for itself; "" for ""."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else ""
