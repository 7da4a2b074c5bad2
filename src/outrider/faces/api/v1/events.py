"""/v1/events: everything that happened to a project's mail, by cursor, and live as server-sent events.

    id: 3f2-1a-5f3c...          a cursor: `Last-Event-ID`, or `after` in either call, goes on behind it without a gap
    event: delivered
    data: {"id": "3f2-1a-5f3c...", "kind": "delivered", ...}

Every event comes at least once. A stream says where it is every `_BEAT_S` though nothing happened, so that a reader who
comes back after a quiet week has little to look through. It ends when its key no longer counts, when this process
stops, or when its reader does not read. Source: HTML Living Standard, 9.2 Server-sent events.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from outrider.base.clock import Clock
from outrider.base.errors import CallerError, StoreError
from outrider.base.vocab import EventKind, KeyScope, Stream
from outrider.engine.story import LoggedEvent
from outrider.faces.api.ports import Authenticate, Ports
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.routes import Act, Route
from outrider.services.event_log import Listener

STREAM_TYPE: Final = "text/event-stream"
_BEAT_S: Final = 15.0  # HTML Living Standard, 9.2.7: about every 15 seconds, for proxies that drop what is silent.
_RETRY: Final = b"retry: 2000\n\n"  # Ours, milliseconds: when a browser asks again after a stream has ended.
_is_visible: Final = re.compile(rb"[!-~]{1,100}").fullmatch
_encode: Final = msgspec.json.Encoder().encode


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to list."""

    kind: Annotated[list[EventKind], Meta(description="Only these.")] = []
    after: Annotated[str, Meta(description="`next` of the page before, or the id of an event.")] = ""
    since: Annotated[datetime | None, Meta(description="Without `after`: begin with what happened then.")] = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to stream."""

    kind: Annotated[list[EventKind], Meta(description="Only these.")] = []
    after: Annotated[str, Meta(description="Go on behind it; without it: from now on.")] = ""


class EventShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `docs/reference/events.md` has the kinds and their facts."""

    id: Annotated[str, Meta(description="The same however often it comes; good for `after`.")]
    kind: EventKind
    at: datetime
    message_id: Annotated[UUID | None, Meta(description="null: it is about no mail, but a domain.")]
    recipient: Annotated[str, Meta(description="Empty: it is about the whole mail.")]
    sender: str = msgspec.field(name="from")
    subject: str
    stream: Stream | None
    campaign: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    attempt: int
    reason: str
    reply: Annotated[str, Meta(description="What the other server said.")]
    facts: Mapping[str, str | int | float | bool]


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, in the log's order: that in which things were written."""

    events: Sequence[EventShown]
    next: Annotated[str, Meta(description="For `after`, always; keep it, and nothing is missed.")]
    has_more: Annotated[bool, Meta(description="Ask again at once. A page may be empty though more follow.")]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/events."""
    acts = _Events(ports)

    def row(path: str, act: Act, **more: Any) -> Route:
        return Route(method="GET", path=path, act=act, scope=KeyScope.READ, tag="Events", **more)

    return [
        row("/events", acts.list_events),
        row("/events/stream", acts.stream_events, answer_media_type=STREAM_TYPE),
    ]


class _Events:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def list_events(self, call: Call, query: LogQuery) -> EventList:
        """List what happened, behind a cursor. Nothing is missed, however late it is asked for."""
        page = await self._ports.services.log.page(
            call.project_id, cursor=query.after, since=query.since, kinds=query.kind, count_max=query.limit
        )
        return EventList(events=[shown(one) for one in page.events], next=page.next_cursor, has_more=page.has_more)

    async def stream_events(self, call: Call, query: StreamQuery) -> Reply:
        """Stream what happens as server-sent events until the caller hangs up; `Last-Event-ID` or `after` resumes."""
        services = self._ports.services
        listener = await services.streams.listen(
            call.project_id, cursor=_last_event_id(call) or query.after, kinds=query.kind
        )
        return Reply(
            content=_Stream(listener, call, self._ports.authenticate, services.clock),
            media_type=STREAM_TYPE,
            headers=((b"x-accel-buffering", b"no"),),  # nginx would hold it back.
        )


class _Stream:
    """The parts of a stream (`call.Chunks`)."""

    def __init__(self, listener: Listener, call: Call, authenticate: Authenticate, clock: Clock) -> None:
        self._listener: Final = listener
        self._call: Final = call
        self._authenticate: Final = authenticate
        self._clock: Final = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield _RETRY
        said_at_s = self._clock.monotonic_s()
        while (batch := await self._listener.next()) is not None and await self._is_allowed():
            now_s = self._clock.monotonic_s()
            if batch.events:
                yield b"".join([_frame(one) for one in batch.events])
            elif now_s - said_at_s >= _BEAT_S:
                yield b"id: %s\n: beat\n\n" % batch.cursor.encode()
            else:
                continue
            said_at_s = now_s

    async def aclose(self) -> None:
        """Give the place back."""
        self._listener.close()

    async def _is_allowed(self) -> bool:
        """Whether the key that began this still counts; nobody knows while the database is away, and nothing comes."""
        assert self._call.credentials is not None
        try:
            caller = await self._authenticate(self._call.credentials)
            caller.require(KeyScope.READ)
        except StoreError:
            return True
        except CallerError:
            return False
        return caller.project_id == self._call.project_id


def _frame(one: LoggedEvent) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (one.id.encode(), one.kind.value.encode(), _encode(shown(one)))


def _last_event_id(call: Call) -> str:
    value = call.header(b"last-event-id")
    if value and not _is_visible(value):
        raise CallerError("The header Last-Event-ID holds no id of an event.", field="after")
    return value.decode("ascii")


def shown(one: LoggedEvent) -> EventShown:
    """Return an event as its JSON says it."""
    return EventShown(
        id=one.id,
        kind=one.kind,
        at=one.at,
        message_id=one.message_id,
        recipient=one.recipient,
        sender=one.sender,
        subject=one.subject,
        stream=one.stream,
        campaign=one.campaign,
        tags=one.tags,
        metadata=one.metadata,
        attempt=one.attempt,
        reason=one.reason,
        reply=one.reply,
        facts=one.facts,
    )
