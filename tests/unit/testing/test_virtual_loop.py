"""A loop whose time is a number: waiting costs nothing, order is kept, and what hangs a real loop is an error."""

import asyncio
from time import perf_counter

import pytest

from outrider.testing import virtual_loop
from outrider.testing.virtual_loop import SpinningError, StuckError, VirtualClock, VirtualLoop, run_virtually


def test_a_day_passes_at_once() -> None:
    async def play(loop: VirtualLoop) -> float:
        clock = VirtualClock(loop)
        for _ in range(24):
            await clock.sleep(3600.0)
        return clock.monotonic_s()

    started_s = perf_counter()
    assert run_virtually(play) == pytest.approx(86400.0)
    assert perf_counter() - started_s < 1.0


def test_sleepers_wake_in_the_order_of_their_instants() -> None:
    async def play(loop: VirtualLoop) -> list[str]:
        clock, woken = VirtualClock(loop), []

        async def sleep(name: str, delay_s: float) -> None:
            await clock.sleep(delay_s)
            woken.append(f"{name} {clock.monotonic_s():g}")

        async with asyncio.TaskGroup() as group:
            for name, delay_s in (("late", 3.0), ("soon", 1.0), ("now", 0.0)):
                group.create_task(sleep(name, delay_s))
        return woken

    assert run_virtually(play) == ["now 0", "soon 1", "late 3"]


def test_timeouts_of_asyncio_are_in_the_same_time() -> None:
    async def play(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60.0):
                await VirtualClock(loop).sleep(61.0)
        return loop.time()

    assert run_virtually(play) == pytest.approx(60.0)


def test_a_step_of_the_wall_clock_wakes_nobody() -> None:
    async def play(loop: VirtualLoop) -> tuple[float, float]:
        clock = VirtualClock(loop)
        before = clock.now()
        loop.call_later(1.0, clock.step_wall, -3600.0)
        await clock.sleep(10.0)
        return (clock.now() - before).total_seconds(), clock.monotonic_s()

    assert run_virtually(play) == pytest.approx((-3590.0, 10.0))


def test_waiting_for_nobody_is_an_error() -> None:
    async def play(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(StuckError):
        run_virtually(play)


def test_spinning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_loop, "TURNS_COUNT_MAX", 1000)

    async def play(loop: VirtualLoop) -> None:
        while True:
            await VirtualClock(loop).sleep(0.0)

    with pytest.raises(SpinningError):
        run_virtually(play)


def test_connecting_without_a_network_is_an_error() -> None:
    async def play(loop: VirtualLoop) -> None:
        await loop.create_connection(asyncio.Protocol, "127.0.0.1", 25)

    with pytest.raises(AssertionError, match="no sockets"):
        run_virtually(play)
