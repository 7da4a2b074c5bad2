"""An event with what its readers want to know of its mail, as /v1/events gives it and webhooks tell it.

A cursor is a place in the event log as one word, `XID-EVENT-MICROSECONDS` in hex: opaque to callers, good for ever, and
the id of an event. A fourth number is the instant before which its reader passes over everything.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import instants
from outrider.base.errors import CallerError
from outrider.base.vocab import EventKind, Stream
from outrider.store import events, project_feed
from outrider.store.events import Cursor, Event
from outrider.store.pool import Tx
from outrider.store.project_feed import Position

_ID_MAX: Final = 2**63 - 1
_cursor: Final = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,16})-([0-9a-f]{1,14})(?:-([0-9a-f]{1,14}))?").fullmatch


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """An event with what its reader wants to know of its mail. As JSON it is what /v1/events says."""

    id: str  # A cursor: what follows it lies behind this event.
    kind: EventKind
    at: datetime
    message_id: UUID | None  # None: it is about no mail.
    recipient: str  # "": about the whole message, or about no mail.
    sender: str
    subject: str
    stream: Stream | None
    campaign: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    attempt: int
    reason: str
    reply: str
    facts: Mapping[str, str | int | float | bool]


async def described(tx: Tx, found: Sequence[Event]) -> Sequence[LoggedEvent]:
    """Return events, of any projects, with what is to be said of their mails. Cost: two queries."""
    if not found:
        return ()
    recipients = {(one.project_id, one.recipient_id) for one in found if one.recipient_id is not None}
    messages = {(one.project_id, one.message_id) for one in found if one.message_id != events.NIL}
    addresses = await project_feed.addresses(tx, list(recipients)) if recipients else {}
    about = await project_feed.about(tx, list(messages)) if messages else {}
    return [_logged(one, addresses, about) for one in found]


def cursor_text(position: Position) -> str:
    """Return a position as callers are given it."""
    text = f"{position.cursor.xid:x}-{position.cursor.event_id:x}-{instants.micros(position.at):x}"
    return text if position.since <= project_feed.EVER else f"{text}-{instants.micros(position.since):x}"


def parse_cursor(text: str) -> Position:
    """Return the position. Raises CallerError: it is none of ours; `field` is "after"."""
    matched = _cursor(text)
    if matched is not None:
        xid, event_id, at, since = (int(part, 16) for part in matched.groups(default="0"))
        if xid <= _ID_MAX and event_id <= _ID_MAX and max(at, since) <= instants.MICROS_MAX:
            return Position(Cursor(xid, event_id), instant(at), instant(since))
    raise CallerError("That is no cursor of the event log; take `next` or an event's id as it is.", field="after")


def instant(since_epoch: int) -> datetime:
    """Return the instant so many microseconds after 1970, or the earliest that a position has."""
    return max(project_feed.EVER, instants.of_micros(since_epoch))


def _logged(one: Event, addresses: Mapping[UUID, str], about: Mapping[UUID, project_feed.About]) -> LoggedEvent:
    mail = about.get(one.message_id)
    return LoggedEvent(
        id=cursor_text(Position(one.cursor, one.at)),
        kind=one.kind,
        at=one.at,
        message_id=None if one.message_id == events.NIL else one.message_id,
        recipient=addresses.get(one.recipient_id, "") if one.recipient_id else one.address,
        sender=mail.sender if mail else "",
        subject=mail.subject if mail else "",
        stream=mail.stream if mail else None,
        campaign=mail.campaign if mail else "",
        tags=mail.tags if mail else (),
        metadata=mail.metadata if mail else {},
        attempt=one.attempt,
        reason=one.reason,
        reply=one.reply,
        facts=one.facts,
    )
