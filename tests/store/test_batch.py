"""Group commit: one write for many waiters, a poisoned entry alone, every waiter told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from outrider.app import SystemClock
from outrider.base.errors import BusyError, StoreUnavailableError
from outrider.store.batch import GroupCommit
from outrider.store.pool import StoreRolledBackError, StoreValueError
from outrider.testing.clock import turns


class Writes:
    """A write function that remembers its batches, refuses `poison` and can be made to fail or to wait."""

    def __init__(self, poison: frozenset[int] = frozenset()) -> None:
        self.batches: list[list[int]] = []
        self.poison = poison
        self.failure: Exception | None = None
        self.deadlock_count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, entries: Sequence[int]) -> Sequence[int | Exception]:
        await self.gate.wait()
        if self.failure:
            raise self.failure
        if self.deadlock_count:
            self.deadlock_count -= 1
            raise StoreRolledBackError("The database is not available.")
        if self.poison & set(entries):
            raise StoreValueError("The database refused a value.")
        self.batches.append(list(entries))
        return [entry * 10 for entry in entries]


@contextlib.asynccontextmanager
async def running(writes: Writes, **options: int) -> AsyncIterator[GroupCommit[int, int]]:
    commit = GroupCommit[int, int](writes, clock=SystemClock(), wait_s=0.001, **{"weight_max": 100} | options)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(commit.run())
        yield commit
        commit.stop()


async def test_what_is_submitted_together_is_written_together() -> None:
    writes = Writes()
    async with running(writes) as commit:
        results = await asyncio.gather(*(commit.submit(n) for n in range(50)))
    assert results == [n * 10 for n in range(50)]
    assert len(writes.batches) == 1


async def test_a_batch_stops_growing_at_its_weight() -> None:
    writes = Writes()
    async with running(writes, weight_max=7) as commit:
        await asyncio.gather(*(commit.submit(n) for n in range(20)))
    assert [len(batch) for batch in writes.batches] == [7, 7, 6]


async def test_a_poisoned_entry_fails_alone() -> None:
    writes = Writes(poison=frozenset({13, 40}))
    async with running(writes) as commit:
        results = await asyncio.gather(*(commit.submit(n) for n in range(50)), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, StoreValueError)] == [13, 40]
    assert sorted(n for batch in writes.batches for n in batch) == [n for n in range(50) if n not in (13, 40)]


async def test_when_the_database_is_away_everybody_is_told_and_nothing_is_tried_twice() -> None:
    writes = Writes()
    writes.failure = StoreUnavailableError("The database is not available.")
    async with running(writes) as commit:
        results = await asyncio.gather(*(commit.submit(n) for n in range(5)), return_exceptions=True)
        writes.failure = None
        assert await commit.submit(7) == 70
    assert all(isinstance(result, StoreUnavailableError) for result in results)
    assert writes.batches == [[7]]


@pytest.mark.parametrize("deadlock_count", [1, 2, 3])
async def test_the_victim_of_a_deadlock_is_written_again_but_not_for_ever(deadlock_count: int) -> None:
    writes = Writes()
    writes.deadlock_count = deadlock_count
    async with running(writes) as commit:
        if deadlock_count < 3:
            assert await commit.submit(1) == 10
        else:
            with pytest.raises(StoreRolledBackError):
                await commit.submit(1)
    assert writes.batches == ([[1]] if deadlock_count < 3 else [])


async def test_what_is_pending_at_a_stop_is_still_written() -> None:
    writes = Writes()
    writes.gate.clear()
    async with running(writes) as commit:
        waiting = [asyncio.ensure_future(commit.submit(n)) for n in range(3)]
        await asyncio.sleep(0)
        commit.stop()
        with pytest.raises(BusyError):
            await commit.submit(9)
        writes.gate.set()
    assert [await one for one in waiting] == [0, 10, 20]


async def test_when_it_is_cancelled_everybody_is_told_and_nothing_more_is_taken() -> None:
    writes = Writes()
    writes.gate.clear()
    commit = GroupCommit[int, int](writes, clock=SystemClock(), wait_s=0, weight_max=2)
    running_it = asyncio.ensure_future(commit.run())
    waiting = [asyncio.ensure_future(commit.submit(n)) for n in range(5)]
    await turns()
    running_it.cancel()
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert all(isinstance(result, StoreUnavailableError) for result in results)
    with pytest.raises(BusyError):
        await commit.submit(9)


async def test_too_much_pending_is_refused_at_once() -> None:
    writes = Writes()
    writes.gate.clear()
    async with running(writes, pending_max=2) as commit:
        waiting = [asyncio.ensure_future(commit.submit(n)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await commit.submit(2)
        writes.gate.set()
        assert await asyncio.gather(*waiting) == [0, 10]


async def test_a_cancelled_caller_harms_nobody() -> None:
    writes = Writes()
    writes.gate.clear()
    async with running(writes) as commit:
        first, second = (asyncio.ensure_future(commit.submit(n)) for n in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        writes.gate.set()
        assert await second == 20
    assert writes.batches == [[1, 2]]
