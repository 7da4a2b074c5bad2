"""What the fake clock adds to a clock. What it shares with the real one: tests/unit/base/test_clock.py."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from outrider.testing.clock import EPOCH, FakeClock, turn


async def test_it_stands_still_until_told() -> None:
    clock = FakeClock()
    assert (clock.now(), clock.monotonic_s(), clock.next_wake_s) == (EPOCH, 0.0, None)
    await turn()
    assert (clock.now(), clock.monotonic_s()) == (EPOCH, 0.0)


async def test_it_starts_where_it_is_put_in_utc() -> None:
    there = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert FakeClock(there).now() == datetime(2026, 6, 1, 10, tzinfo=UTC)
    assert FakeClock(there).now().tzinfo is UTC


async def test_advance_wakes_only_who_is_due_and_those_of_one_instant_in_order() -> None:
    clock = FakeClock()
    woken: list[int] = []

    async def sleep(name: int, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name, delay_s in enumerate([5.0, 1.0, 5.0, 60.0]):
            tasks.create_task(sleep(name, delay_s))
        await clock.wait_for_sleepers(4)
        assert clock.next_wake_s == 1.0
        clock.advance(5.0)
        assert clock.sleeper_count == 1
        await turn()
        await turn()
        assert woken == [1, 0, 2]
        clock.advance(55.0)
    assert woken == [1, 0, 2, 3]
    assert clock.now() == EPOCH + timedelta(minutes=1)


async def test_run_for_lets_a_loop_go_round() -> None:
    clock = FakeClock()
    seen: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(1.0)
            seen.append(clock.monotonic_s())

    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(tick())
        await clock.run_for(3.5)
        ticking.cancel()
    assert seen == [1.0, 2.0, 3.0]
    assert clock.monotonic_s() == 3.5


async def test_a_cancelled_sleeper_is_no_sleeper() -> None:
    clock = FakeClock()
    async with asyncio.TaskGroup() as tasks:
        sleeping = tasks.create_task(clock.sleep(10))
        await clock.wait_for_sleepers(1)
        sleeping.cancel()
        await asyncio.wait([sleeping])
        assert (clock.sleeper_count, clock.next_wake_s) == (0, None)


async def test_waiting_for_sleepers_has_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        await FakeClock().wait_for_sleepers(1, wait_s=0.01)


async def test_a_stepped_wall_clock_wakes_nobody() -> None:
    clock = FakeClock()
    async with asyncio.TaskGroup() as tasks:
        sleeping = tasks.create_task(clock.sleep(10))
        await clock.wait_for_sleepers(1)
        clock.step_wall(-3600)
        clock.step_wall(7200)
        await turn()
        assert not sleeping.done()
        assert clock.now() == EPOCH + timedelta(hours=1)
        assert clock.monotonic_s() == 0.0
        clock.advance(10)
