"""A project's events by cursor and live: no gap, whoever comes and goes; bounded; ended by a stop."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, LimitReachedError
from outrider.base.vocab import EventKind
from outrider.services import event_log
from outrider.services.event_log import EventLog, Listener, LoggedEvent, Streams
from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, EngineRoom, Journal, running

pytestmark = pytest.mark.newest


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def log(store: Store, clock: RealClock) -> EventLog:
    return EventLog(store, clock=clock)


@pytest.fixture
async def streams(log: EventLog, clock: RealClock) -> AsyncIterator[Streams]:
    made = Streams(log, clock=clock, logger=Journal().logger)
    async with running(made):
        yield made


async def heard(listener: Listener, count: int) -> list[LoggedEvent]:
    found: list[LoggedEvent] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            batch = await listener.next()
            assert batch is not None
            found += batch.events
    return found


async def test_nothing_is_missed_while_mail_comes_in(room: EngineRoom, log: EventLog, streams: Streams) -> None:
    first = await streams.listen(PROJECT)
    other = await streams.listen(OTHER_PROJECT)

    async def send() -> None:
        for number in range(60):
            await room.send(f"u{number}@a.example")

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        found = await heard(first, 20)
        later = await streams.listen(PROJECT, cursor=found[9].id)  # It comes back while more happens.
        rest = await heard(later, 50)
        found += await heard(first, 60 - len(found))
    assert [one.id for one in rest[:10]] == [one.id for one in found[10:20]]
    assert [one.id for one in rest] == [one.id for one in found[10:60]]
    assert len({one.message_id for one in found}) == 60
    page = await log.page(PROJECT, cursor="", count_max=100)
    assert [one.id for one in page.events] == [one.id for one in found]
    batch = await other.next()
    assert batch is not None
    assert batch.events == ()
    for one in (first, other, later):
        one.close()


async def test_an_idle_listener_moves_on_with_the_log(room: EngineRoom, log: EventLog, streams: Streams) -> None:
    idle = await streams.listen(OTHER_PROJECT)
    start = await idle.next()
    await room.send("ann@a.example")
    async with asyncio.timeout(20):
        while (batch := await idle.next()) is not None and batch.cursor == (start.cursor if start else ""):
            pass
    assert batch is not None
    assert (await log.page(PROJECT, cursor=batch.cursor, count_max=10)).events == ()
    idle.close()


async def test_a_cursor_remembers_since_when(room: EngineRoom, log: EventLog, clock: RealClock) -> None:
    await room.send("before@a.example")
    since = clock.now() + timedelta(hours=1)
    page = await log.page(PROJECT, cursor="", since=since, count_max=1)
    assert (page.events, page.has_more) == ((), False)
    assert event_log.parse_cursor(page.next_cursor).since == since
    await room.send("after@a.example")
    assert (await log.page(PROJECT, cursor=page.next_cursor, count_max=10)).events == ()
    begun = (await log.page(PROJECT, cursor="", since=clock.now() - timedelta(hours=1), count_max=1)).next_cursor
    assert [one.kind for one in (await log.page(PROJECT, cursor=begun, count_max=10)).events] == [EventKind.ACCEPTED]


async def test_only_some_kinds_are_told(room: EngineRoom, streams: Streams) -> None:
    listener = await streams.listen(PROJECT, kinds=[EventKind.DELIVERED])
    await room.send("ann@a.example")
    for _ in range(4):
        batch = await listener.next()
        assert batch is not None
        assert batch.events == ()
    listener.close()


async def test_listeners_are_bounded_and_places_come_back(room: EngineRoom, streams: Streams) -> None:
    assert room is not None
    own = [await streams.listen(PROJECT) for _ in range(limits.EVENT_STREAMS_OF_ONE_COUNT_MAX)]
    with pytest.raises(LimitReachedError):
        await streams.listen(PROJECT)
    left = limits.EVENT_STREAMS_COUNT_MAX - len(own)
    others = [await streams.listen(UUID(int=number)) for number in range(left)]
    with pytest.raises(BusyError):
        await streams.listen(UUID(int=left))
    for one in (own[0], own[0], others[0]):
        one.close()
    (await streams.listen(PROJECT)).close()


async def test_a_stop_ends_every_listener_at_once(room: EngineRoom, log: EventLog, clock: RealClock) -> None:
    assert room is not None
    streams = Streams(log, clock=clock, logger=Journal().logger)
    listener = await streams.listen(PROJECT)
    await listener.next()
    waiting = asyncio.create_task(listener.next())
    await asyncio.wait([waiting], timeout=0.05)
    streams.stop()
    async with asyncio.timeout(0.2):
        await waiting
        assert await listener.next() is None
    with pytest.raises(BusyError):
        await streams.listen(PROJECT)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "x",
        "0-0",
        "0-0-0-",
        "0-0-0-0-0",
        "g-0-0",
        "ffffffffffffffff-0-0",
        "0-0-ffffffffffffff",
        "0-0-0-ffffffffffffff",
    ],
)
def test_what_is_no_cursor_is_refused(word: str) -> None:
    with pytest.raises(CallerError) as caught:
        event_log.parse_cursor(word)
    assert caught.value.field == "after"
