"""The torture of tests/unit/engine/test_service.py on a database that answers, in real time."""

import asyncio

import pytest

from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import EngineRoom
from tests.unit.engine.test_service import MAKERS

pytestmark = [pytest.mark.slow, pytest.mark.newest]


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.mark.parametrize("name", MAKERS)
async def test_it_starts_and_stops_and_is_cancelled_again_and_again(store: Store, clock: RealClock, name: str) -> None:
    room = EngineRoom(store, clock)
    before = asyncio.all_tasks()
    for turn_count in (0, 5, 50):
        part = MAKERS[name](room)
        running = asyncio.ensure_future(part.run())
        for _ in range(turn_count):
            await asyncio.sleep(0)
        part.stop()
        part.stop()
        async with asyncio.timeout(10):
            await running
        cancelled = asyncio.ensure_future(MAKERS[name](room).run())
        for _ in range(turn_count):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled], timeout=10)
        assert cancelled.cancelled()
    assert asyncio.all_tasks() == before
    assert await room.leased_count() == 0
    assert not [line for line in room.journal.lines if line["level"] == "error"]
