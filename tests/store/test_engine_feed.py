"""Station 7 on a real database: every event at least once, and the cursor only behind what was handled."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from outrider.engine.feed import Cursor, Event, Feed, read
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import EngineRoom, Line, running


class Consumer:
    """Remembers what it was handed; fails when told to."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Event]] = []
        self.failure: Exception | None = None
        self.came = asyncio.Event()

    async def __call__(self, batch: Sequence[Event]) -> None:
        self.batches.append(batch)
        self.came.set()
        if self.failure is not None:
            raise self.failure

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]


def feed_in(room: EngineRoom, consumer: Consumer, name: str = "test", store: Store | None = None) -> Feed:
    return Feed(store or room.store, name, consumer, clock=RealClock(), logger=room.journal.logger)


async def test_everything_is_handed_over_once_in_order(room: EngineRoom) -> None:
    sessions = [await room.send(subject=f"n {n}") for n in range(5)]
    consumer = Consumer()
    feed = feed_in(room, consumer)
    assert await feed.step() == 5
    assert [event.message_id for event in consumer.events] == sessions
    assert await feed.step() == 0
    sessions.append(await room.send())
    assert await feed_in(room, consumer).step() == 1, "its place is kept in the database"
    assert [event.message_id for event in consumer.events] == sessions
    cursors = [event.cursor for event in consumer.events]
    assert cursors == sorted(set(cursors))


@pytest.mark.slow
async def test_a_round_is_bounded_and_skips_nothing(room: EngineRoom) -> None:
    await asyncio.gather(*(room.send(subject=f"n {n}") for n in range(700)))
    consumer = Consumer()
    feed = feed_in(room, consumer)
    assert [await feed.step(), await feed.step(), await feed.step()] == [500, 200, 0]
    assert len({event.message_id for event in consumer.events}) == 700


async def test_a_consumer_that_fails_is_handed_the_same_again(room: EngineRoom) -> None:
    await room.send()
    consumer = Consumer()
    consumer.failure = ValueError("not now")
    feed = feed_in(room, consumer)
    with pytest.raises(ValueError, match="not now"):
        await feed.step()
    with pytest.raises(ValueError, match="not now"):
        await feed.run()
    consumer.failure = None
    assert await feed.step() == 1
    assert consumer.batches[0] == consumer.batches[1] == consumer.batches[2]
    assert await feed.step() == 0


async def test_a_consumer_that_fails_stops_no_other(room: EngineRoom) -> None:
    await room.send()
    broken, healthy = Consumer(), Consumer()
    broken.failure = ValueError("never")
    with pytest.raises(ValueError, match="never"):
        await feed_in(room, broken, "broken").step()
    assert await feed_in(room, healthy, "healthy").step() == 1


async def test_a_consumer_killed_while_it_handles_is_handed_the_same_again(room: EngineRoom) -> None:
    await room.send()
    consumer = Consumer()
    never = asyncio.Event()

    async def hang(batch: Sequence[Event]) -> None:
        await consumer(batch)
        await never.wait()

    killed = asyncio.ensure_future(Feed(room.store, "test", hang, clock=RealClock(), logger=room.journal.logger).run())
    await consumer.came.wait()
    killed.cancel()
    await asyncio.wait([killed])
    assert await feed_in(room, consumer).step() == 1
    assert consumer.batches[0] == consumer.batches[1]


async def test_an_event_of_a_transaction_that_commits_late_is_not_skipped(room: EngineRoom, database_url: str) -> None:
    consumer = Consumer()
    feed = feed_in(room, consumer)
    async with Store(database_url, StoreSettings()) as other:
        async with other.transaction() as tx:
            await tx.execute("CREATE TABLE slow (n int)")  # It has its number now and commits last.
            session = await room.send()
            assert await feed.step() == 0, "not while an older transaction may still write"
        assert await feed.step() == 1
    assert [event.message_id for event in consumer.events] == [session]


@pytest.mark.slow
async def test_it_runs_until_it_is_stopped(room: EngineRoom) -> None:
    consumer = Consumer()
    feed = feed_in(room, consumer)
    async with running(feed):
        session = await room.send()
        async with asyncio.timeout(10):
            await consumer.came.wait()
    assert [event.message_id for event in consumer.events] == [session]


@pytest.mark.slow
async def test_it_waits_for_a_database_that_is_away(room: EngineRoom, database_url: str, tmp_path: Path) -> None:
    consumer = Consumer()
    async with (
        Line(database_url, tmp_path) as line,
        Store(line.dsn, StoreSettings()) as store,
        running(feed_in(room, consumer, store=store)),
    ):
        await line.cut()
        async with asyncio.timeout(10):
            while not room.journal.count("feed_delayed"):
                await RealClock().sleep(0.01)
        session = await room.send()
        await line.mend()
        async with asyncio.timeout(10):
            await consumer.came.wait()
    assert [event.message_id for event in consumer.events] == [session]


async def test_a_reader_keeps_its_own_place(room: EngineRoom) -> None:
    sessions = [await room.send(subject=f"n {n}") for n in range(4)]
    first = await read(room.store, Cursor(), count_max=3)
    rest = await read(room.store, first[-1].cursor, count_max=3)
    assert [event.message_id for event in (*first, *rest)] == sessions
    assert await read(room.store, rest[-1].cursor, count_max=3) == []
