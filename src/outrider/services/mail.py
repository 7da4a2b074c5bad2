"""The mail of a project, as it stands now: lists of messages, one message with its recipients, its events.

The records here are what faces render; times are aware UTC, statuses and kinds the words of `base.vocab`. Lists go page
by page behind a cursor, which is opaque to callers and stays good for ever.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import instants, places
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import EventKind, RecipientStatus, Stream
from outrider.mail import address
from outrider.store import mail_views, messages, recipients
from outrider.store.events import Event
from outrider.store.mail_views import EventPlace, Filters, Place
from outrider.store.mail_views import Listed as ListedView
from outrider.store.messages import Message
from outrider.store.pool import Store
from outrider.store.recipients import Recipient

__all__ = ["EventPage", "ListedView", "Mail", "MessagePage", "MessageView", "Wanted"]  # With a record a reader meets.


class RecipientView(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient as it stands now."""

    address: str
    status: RecipientStatus
    reason: str
    reply: str
    attempt_count: int
    next_attempt_at: datetime | None  # None: no further attempt is planned.
    updated_at: datetime


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message. Recipients come in the order in which the caller gave them."""

    message_id: UUID
    sender: str
    from_name: str
    subject: str
    stream: Stream
    campaign: str
    list_name: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    accepted_at: datetime
    send_at: datetime | None
    expires_at: datetime
    resent_from: UUID | None
    template_id: str = ""  # The stored template it was made from; "" and 0: none.
    template_number: int = 0
    recipients: Sequence[RecipientView]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages a list is to have; "" , () and None do not restrict."""

    statuses: Sequence[RecipientStatus] = ()  # Some recipient is in one of these.
    recipient: str = ""
    sender: str = ""
    tag: str = ""
    stream: Stream | None = None
    campaign: str = ""
    subject: str = ""  # A part of it, in any case.
    since: datetime | None = None
    until: datetime | None = None  # Not included.


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list, newest first. `next_cursor` "": there are no more."""

    messages: Sequence[ListedView]
    next_cursor: str


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a message. `recipient` "": it is about the whole message."""

    kind: EventKind
    at: datetime
    recipient: str
    attempt: int
    reason: str
    reply: str
    facts: Mapping[str, str | int | float | bool]


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a message's events, oldest first. `next_cursor` "": there are no more so far."""

    events: Sequence[EventShown]
    next_cursor: str


_CLOCKS_APART: Final = timedelta(days=1)  # As `store.events` says: between who accepted and who delivered.
_event_place: Final = re.compile(r"([0-9a-f]{1,14})-([0-9a-f]{1,15})-([0-9a-f]{1,15})").fullmatch


class Mail:
    """Reads a project's mail."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def page(self, project_id: UUID, wanted: Wanted, *, cursor: str, count_max: int) -> MessagePage:
        """Return the next messages that are wanted; `cursor` "" begins with the newest.

        A page may hold fewer than `count_max` though more follow: it looks at so many and no more.

        Raises:
            CallerError: the cursor is none of ours, or `sender` or `recipient` no address.
        """
        filters = Filters(
            since=_aware(wanted.since, "since"),
            stream=wanted.stream,
            campaign=_whole(wanted.campaign, "campaign"),
            sender=_address(wanted.sender, "sender"),
            recipient=_address(wanted.recipient, "recipient"),
            tag=_whole(wanted.tag, "tag"),
            subject=_whole(wanted.subject, "subject"),
            statuses=wanted.statuses,
        )
        until = _aware(wanted.until, "until") or self._clock.now() + _CLOCKS_APART
        before = _parse_place(cursor) if cursor else Place(until, UUID(int=0))
        async with self._store.transaction() as tx:
            found, next_place = await mail_views.page(tx, project_id, filters, before, count_max=count_max)
        return MessagePage(messages=found, next_cursor=_place_text(next_place) if next_place else "")

    async def message(self, project_id: UUID, message_id: UUID) -> MessageView:
        """Return the message as it stands now.

        Raises:
            NotFoundError: the project has no such message.
        """
        async with self._store.transaction() as tx:
            found = await messages.by_id(tx, project_id, message_id)
            if found is None:
                raise _none_such()
            rows = await recipients.of_message(tx, project_id, message_id)
        return _view(found, rows)

    async def events(self, project_id: UUID, message_id: UUID, *, cursor: str, count_max: int) -> EventPage:
        """Return the message's next events; `cursor` "" begins with the oldest.

        Raises:
            NotFoundError: the project has no such message.
            CallerError: the cursor is none of ours.
        """
        after = _parse_event_place(cursor) if cursor else EventPlace(instants.EPOCH, 0, 0)
        async with self._store.transaction() as tx:
            found = await messages.by_id(tx, project_id, message_id)
            if found is None:
                raise _none_such()
            rows = await recipients.of_message(tx, project_id, message_id)
            since = found.accepted_at - _CLOCKS_APART
            log = await mail_views.events_page(tx, project_id, message_id, after, since=since, count_max=count_max)
        addresses = {row.recipient_id: row.address for row in rows}
        is_end = len(log) < count_max
        return EventPage(
            events=[
                EventShown(
                    kind=one.kind,
                    at=one.at,
                    recipient=addresses.get(one.recipient_id, "") if one.recipient_id else one.address,
                    attempt=one.attempt,
                    reason=one.reason,
                    reply=one.reply,
                    facts=one.facts,
                )
                for one in log
            ],
            next_cursor="" if is_end else _event_place_text(log[-1]),
        )


def _none_such() -> NotFoundError:
    return NotFoundError("There is no such email.", field="id")


def _address(text: str, field: str) -> str:
    if not text:
        return ""
    try:
        return address.parse(text).text.lower()
    except CallerError as error:
        raise CallerError(f"invalid address: {error.public}", field=field) from error


def _whole(text: str, field: str) -> str:
    if "\x00" in text:
        raise CallerError("It has a NUL character.", field=field)
    return text


def _aware(at: datetime | None, field: str) -> datetime | None:
    return None if at is None else instants.aware(at, field)


def _place_text(place: Place) -> str:
    return places.text(place.accepted_at, place.message_id.hex)


def _parse_place(cursor: str) -> Place:
    accepted_at, hex_id = places.parse(cursor)
    return Place(accepted_at, UUID(hex_id))


def _event_place_text(last: Event) -> str:
    return f"{instants.micros(last.at):x}-{last.cursor.xid:x}-{last.cursor.event_id:x}"


def _parse_event_place(cursor: str) -> EventPlace:
    matched = _event_place(cursor)
    since_epoch = int(matched[1], 16) if matched else 0
    if matched is None or since_epoch > instants.MICROS_MAX:
        raise places.no_cursor()
    return EventPlace(instants.of_micros(since_epoch), int(matched[2], 16), int(matched[3], 16))


def _view(message: Message, rows: Sequence[Recipient]) -> MessageView:
    return MessageView(
        message_id=message.message_id,
        sender=message.sender,
        from_name=message.from_name,
        subject=message.subject,
        stream=message.stream,
        campaign=message.campaign,
        list_name=message.list_name,
        tags=message.tags,
        metadata=message.metadata,
        accepted_at=message.accepted_at,
        send_at=message.send_at,
        expires_at=message.expires_at,
        resent_from=message.resent_from,
        template_id=message.template_id,
        template_number=message.template_number,
        recipients=[
            RecipientView(
                address=row.address,
                status=row.status,
                reason=row.reason,
                reply=row.reply,
                attempt_count=row.attempt,
                next_attempt_at=row.due_at,
                updated_at=row.updated_at,
            )
            for row in rows
        ],
    )
