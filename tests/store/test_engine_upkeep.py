"""The event log always has a partition for what comes."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from outrider.engine.upkeep import Upkeep, ensure_partitions
from outrider.store.pool import Store, StoreValueError
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom, Line, RealClock, running, submission


@pytest.mark.parametrize("days", [-1, 0, 1, 6])
async def test_yesterday_and_a_week_ahead_can_be_written(store: Store, days: int) -> None:
    clock = FakeClock()
    room = EngineRoom(store, clock)
    clock.step_wall(timedelta(days=days).total_seconds())
    async with running(room.accept):
        assert (await room.accept(PROJECT, submission())).session_id is not None


@pytest.mark.parametrize("days", [-2, 7])
async def test_beyond_that_a_call_is_refused_and_nothing_is_stored(store: Store, days: int) -> None:
    clock = FakeClock()
    room = EngineRoom(store, clock)
    clock.step_wall(timedelta(days=days).total_seconds())
    async with running(room.accept):
        with pytest.raises(StoreValueError):
            await room.accept(PROJECT, submission())
        await ensure_partitions(store, clock)
        session = await room.send()
        assert len(await room.events(session)) == 1
    async with store.transaction() as tx:
        assert [row["count"] for row in await tx.fetch("SELECT count(*) FROM message")] == [1]


async def test_it_may_be_done_again_and_by_many_at_once(store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        before = await tx.fetch("SELECT relname FROM pg_class WHERE relname LIKE 'event_20%' ORDER BY relname")
    await asyncio.gather(*(ensure_partitions(store, clock) for _ in range(4)))
    async with store.transaction() as tx:
        after = await tx.fetch("SELECT relname FROM pg_class WHERE relname LIKE 'event_20%' ORDER BY relname")
    assert after == before
    assert len(before) >= 8


async def test_it_tries_again_when_the_database_was_away(
    database_url: str, store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    room = EngineRoom(store, clock)
    clock.step_wall(30 * 86400)
    async with Line(database_url, tmp_path) as line, Store(line.dsn, StoreSettings()) as away:
        await line.cut()
        upkeep = Upkeep(away, clock=clock, logger=room.journal.logger)
        async with running(upkeep):
            async with asyncio.timeout(10):
                while not room.journal.count("upkeep_delayed"):
                    await RealClock().sleep(0.01)
        await line.mend()
        async with running(Upkeep(away, clock=clock, logger=room.journal.logger), room.accept):
            async with asyncio.timeout(10):
                while not await has_partition(store, clock):
                    await RealClock().sleep(0.01)
            await room.send()


async def has_partition(store: Store, clock: FakeClock) -> bool:
    async with store.transaction() as tx:
        return bool(await tx.fetch("SELECT FROM pg_class WHERE relname = $1", f"event_{clock.now():%Y%m%d}"))
