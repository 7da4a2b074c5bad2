"""Station 7 on a real database: every event exactly once, and the cursor only behind what was handled."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from outrider.engine.feed import Cursor, Event, TurnFeed, read
from outrider.store import events
from outrider.store.pool import Store, Tx
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock, RealClock, until
from outrider.testing.engineroom import EngineRoom, Line, running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())  # By which feeds tell what is too old.


async def test_a_reader_keeps_its_own_place(room: EngineRoom) -> None:
    sessions = [await room.send(subject=f"n {n}") for n in range(4)]
    first = await read(room.store, Cursor(), count_max=3)
    rest = await read(room.store, first[-1].cursor, count_max=3)
    assert [event.message_id for event in (*first, *rest)] == sessions
    assert await read(room.store, rest[-1].cursor, count_max=3) == []


class Turns:
    """Hands out feeds that write what they hear, in the transaction that moves their cursor."""

    def __init__(self, room: EngineRoom) -> None:
        self.room = room
        self.heard: list[Event] = []
        self.is_wanted = True
        self.failure: Exception | None = None

    def feed(self, store: Store | None = None) -> TurnFeed:
        async def handle(tx: Tx, batch: Sequence[Event]) -> None:
            await events.move_cursor(tx, "written", batch[-1].cursor)
            self.heard += batch
            if self.failure is not None:
                raise self.failure

        async def is_wanted(_: Tx) -> bool:
            return self.is_wanted

        return TurnFeed(
            store or self.room.store,
            "turns",
            handle,
            is_wanted=is_wanted,
            clock=RealClock(),
            logger=self.room.journal.logger,
        )

    async def written(self) -> Cursor:
        async with self.room.store.transaction() as tx:
            return await events.read_cursor(tx, "written")


async def test_a_consumer_in_the_transaction_begins_now_and_hears_each_event_once(room: EngineRoom) -> None:
    await room.send()
    turns = Turns(room)
    assert await turns.feed().step() == 0
    sessions = [await room.send(subject=f"n {n}") for n in range(3)]
    counts = await asyncio.gather(*(turns.feed().step() for _ in range(4)))
    assert max(counts) == 3
    assert [event.message_id for event in turns.heard] == sessions
    assert await turns.written() == turns.heard[-1].cursor


async def test_what_a_consumer_that_fails_has_written_is_not_kept(room: EngineRoom) -> None:
    turns = Turns(room)
    await turns.feed().step()
    await room.send()
    turns.failure = ValueError("not now")
    with pytest.raises(ValueError, match="not now"):
        await turns.feed().step()
    assert await turns.written() == Cursor()
    turns.failure = None
    assert await turns.feed().step() == 1
    assert turns.heard[0] == turns.heard[1]


async def test_while_nobody_wants_to_hear_nothing_is_written(room: EngineRoom) -> None:
    turns = Turns(room)
    await turns.feed().step()
    turns.is_wanted = False
    await room.send()
    assert [await turns.feed().step() for _ in range(3)] == [0, 0, 0]
    turns.is_wanted = True
    assert await turns.feed().step() == 1


@pytest.mark.slow
async def test_a_consumer_in_the_transaction_runs_until_it_is_stopped(room: EngineRoom) -> None:
    turns = Turns(room)
    feed = turns.feed()
    async with running(feed):
        await feed.step()
        session = await room.send()
        await until(lambda: bool(turns.heard))
    assert [event.message_id for event in turns.heard] == [session]


@pytest.mark.slow
async def test_a_round_is_bounded_and_skips_nothing(room: EngineRoom) -> None:
    turns = Turns(room)
    feed = turns.feed()
    await feed.step()
    await asyncio.gather(*(room.send(subject=f"n {n}") for n in range(700)))
    assert [await feed.step(), await feed.step(), await feed.step()] == [500, 200, 0]
    assert len({event.message_id for event in turns.heard}) == 700
    cursors = [event.cursor for event in turns.heard]
    assert cursors == sorted(set(cursors))


async def test_an_event_of_a_transaction_that_commits_late_is_not_skipped(room: EngineRoom, database_url: str) -> None:
    turns = Turns(room)
    feed = turns.feed()
    await feed.step()
    async with Store(database_url, StoreSettings()) as other:
        async with other.transaction() as tx:
            await tx.execute("CREATE TABLE slow (n int)")  # It has its number now and commits last.
            session = await room.send()
            assert await feed.step() == 0, "not while an older transaction may still write"
        assert await feed.step() == 1
    assert [event.message_id for event in turns.heard] == [session]


@pytest.mark.slow
async def test_it_waits_for_a_database_that_is_away(room: EngineRoom, database_url: str, tmp_path: Path) -> None:
    turns = Turns(room)
    await turns.feed().step()
    async with (
        Line(database_url, tmp_path) as line,
        Store(line.dsn, StoreSettings()) as store,
        running(turns.feed(store)),
    ):
        await line.cut()
        await until(lambda: room.journal.count("feed_delayed") > 0)
        session = await room.send()
        await line.mend()
        await until(lambda: bool(turns.heard))
    assert [event.message_id for event in turns.heard] == [session]
