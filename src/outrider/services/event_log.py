"""The events of one project: page by page behind a cursor, and live, for as long as somebody listens.

    page      whoever keeps the cursor gets every event at least once, after days as well
    Streams   one look at the log for all listeners of this process, four times a second, tells each of its project's
              news; each reads its own pages from its own place, so a hint that is lost costs time and no event

Events come in the log's order: by commit, not by clock. A cursor is opaque, good for ever, and the id of an event.

Failure policy: while the database is away a listener hears nothing, and goes on where it was.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import instants, limits
from outrider.base.clock import Clock
from outrider.base.errors import BusyError, LimitReachedError, StoreError
from outrider.base.vocab import EventKind
from outrider.engine import story
from outrider.engine.service import Outage, Rounds
from outrider.engine.story import LoggedEvent, cursor_text, parse_cursor
from outrider.obs.log import Logger
from outrider.store import project_feed
from outrider.store.events import Cursor, Event
from outrider.store.pool import Store
from outrider.store.project_feed import Position

__all__ = ["EventLog", "Listener", "LoggedEvent", "Streams"]  # With the record a reader meets.

_POLL_S: Final = 0.25  # Ours: how late a listener may be; a revoked key is noticed in this and `KEY_FRESH_S`.
_PAGE_COUNT: Final = 200  # Ours: events read at once for a listener.
_AGAIN_S: Final = 3.0  # Ours: after which who found no room asks again.
_BEGINNING: Final = Position(Cursor(), project_feed.EVER)


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the log. It may be empty though more follow."""

    events: Sequence[LoggedEvent]
    next_cursor: str  # Always; the same again while there is nothing new.
    has_more: bool


class EventLog:
    """Reads the events of projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def page(
        self,
        project_id: UUID,
        *,
        cursor: str,
        since: datetime | None = None,
        kinds: Sequence[EventKind] = (),
        count_max: int,
    ) -> LogPage:
        """Return the project's next events behind `cursor`; "" begins with the oldest.

        Args:
            since: without a cursor: what happened before is passed over, by the pages that follow as well.

        Raises:
            CallerError: the cursor is none of ours; `field` is "after". Or `since` is no instant.
        """
        after = parse_cursor(cursor) if cursor else _BEGINNING
        if since is not None and not cursor:
            after = _begin_at(since)
        async with self._store.transaction() as tx:
            found = await project_feed.page(tx, project_id, after, kinds=kinds, count_max=count_max)
            logged = await story.described(tx, found.events)
        return LogPage(events=logged, next_cursor=cursor_text(found.position), has_more=not found.is_end)

    async def described(self, found: Sequence[Event]) -> Sequence[LoggedEvent]:
        """Return events with what is to be said of their mails. Cost: two queries. Raises StoreError."""
        if not found:
            return ()
        async with self._store.transaction() as tx:
            return await story.described(tx, found)

    async def read(self, project_id: UUID, after: Position, kinds: Sequence[EventKind]) -> project_feed.FeedPage:
        """Return the next events for a listener. Raises StoreError."""
        async with self._store.transaction() as tx:
            return await project_feed.page(tx, project_id, after, kinds=kinds, count_max=_PAGE_COUNT)

    async def tail(self) -> Position:
        """Return the end of the log. Raises StoreError."""
        async with self._store.transaction() as tx:
            return await project_feed.tail(tx, now=self._clock.now())

    async def news(self, after: Position) -> project_feed.News:
        """Return whose events lie behind `after`. Raises StoreError."""
        async with self._store.transaction() as tx:
            return await project_feed.news(tx, after)


class Batch(msgspec.Struct, frozen=True):
    """What a listener hears at a time, perhaps nothing. `cursor`: everything up to it has been told."""

    events: Sequence[LoggedEvent]
    cursor: str


class Listener:
    """One who listens. Invariant: `close` is called in the end, whatever happens; it gives the place back."""

    def __init__(self, streams: "Streams", project_id: UUID, kinds: Sequence[EventKind], after: Position) -> None:
        self._streams: Final = streams
        self._kinds: Final = kinds
        self._position = after
        self._is_behind = True  # There may be more to read at once.
        self.project_id: Final = project_id
        self.has_news: Final = asyncio.Event()

    async def next(self) -> Batch | None:
        """Return what is next, within about `_POLL_S`; None: this process is stopping."""
        if self._streams.is_stopping:
            return None
        if not self._is_behind and not await self._is_told():
            told = self._streams.position
            if told is not None and told.cursor > self._position.cursor:  # None of the project's up to there.
                self._position = msgspec.structs.replace(told, since=self._position.since)
            return Batch((), cursor_text(self._position))
        self.has_news.clear()  # Before reading: what comes while we read is told anew.
        try:
            found = await self._streams.log.read(self.project_id, self._position, self._kinds)
            logged = await self._streams.log.described(found.events)
        except StoreError:
            self._is_behind = False
            await self._is_told()
            self._is_behind = True
            return Batch((), cursor_text(self._position))
        self._position, self._is_behind = found.position, not found.is_end
        return Batch(logged, cursor_text(self._position))

    def close(self) -> None:
        """Give the place back. Safe twice."""
        self._streams.forget(self)

    async def _is_told(self) -> bool:
        try:
            async with asyncio.timeout(_POLL_S):
                await self.has_news.wait()
        except TimeoutError:
            return False
        return True


class Streams:
    """The listeners of this process. `run` looks for news while there are any."""

    def __init__(self, log: EventLog, *, clock: Clock, logger: Logger) -> None:
        self.log: Final = log
        self.position: Position | None = None  # Whatever lies before it has been told; None: nobody looks yet.
        self.is_stopping = False
        self._listeners: Final[set[Listener]] = set()
        self._rounds: Final = Rounds(_POLL_S, clock=clock)
        self._outage: Final = Outage(logger, "event_streams_delayed")

    async def listen(self, project_id: UUID, *, cursor: str = "", kinds: Sequence[EventKind] = ()) -> Listener:
        """Return a listener that goes on behind `cursor`; "": with what happens from now on.

        Raises:
            CallerError: the cursor is none of ours.
            LimitReachedError: the project has as many listeners as it may have in this process.
            BusyError: so have all together, or the process is stopping.
            StoreError: nobody can tell now.
        """
        after = parse_cursor(cursor) if cursor else await self.log.tail()
        if self.is_stopping or len(self._listeners) >= limits.EVENT_STREAMS_COUNT_MAX:
            raise BusyError("There is no room for another stream now.")
        own = sum(one.project_id == project_id for one in self._listeners)
        if own >= limits.EVENT_STREAMS_OF_ONE_COUNT_MAX:
            most = limits.EVENT_STREAMS_OF_ONE_COUNT_MAX
            raise LimitReachedError(f"The project has its {most} streams here already.", retry_after_s=_AGAIN_S)
        listener = Listener(self, project_id, kinds, after)
        self._listeners.add(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Let the listener go. Safe twice."""
        self._listeners.discard(listener)

    async def run(self) -> None:
        """Tell listeners of news until `stop`."""
        async for _ in self._rounds:
            with self._outage:
                await self._look()

    def stop(self) -> None:
        """End every stream at once, and let `run` return."""
        self.is_stopping = True
        for one in self._listeners:
            one.has_news.set()
        self._rounds.stop()

    async def _look(self) -> None:
        if not self._listeners:
            self.position = None
            return
        if self.position is None:
            position = await self.log.tail()
            for one in self._listeners:  # What came between their last look and this one.
                one.has_news.set()
            self.position = position
            return
        is_end = False
        while not is_end and not self.is_stopping:
            found = await self.log.news(self.position)
            for one in self._listeners:
                if one.project_id in found.project_ids:
                    one.has_news.set()
            self.position, is_end = found.position, found.is_end  # Danger: after they were told, never before.


def _begin_at(since: datetime) -> Position:
    at = story.instant(min(instants.micros(instants.aware(since, "since")), instants.MICROS_MAX))
    return Position(Cursor(), at, at)
