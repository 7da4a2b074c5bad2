"""What every clock keeps (`base.clock.Clock`), the fake and the real one: one suite, run on each.

A clock under test comes with `pass_s`, which lets that much of its time pass: a fake one is moved, a real one waits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, timedelta
from typing import Final

import msgspec
import pytest

from outrider.base.clock import Clock
from outrider.testing.clock import FakeClock, RealClock, turn

SOON_S: Final = 0.02  # Long enough to be seen, short enough to be waited for.
DEADLINE_S: Final = 5.0


class Subject(msgspec.Struct):
    """A clock and how its time passes."""

    clock: Clock
    pass_s: Callable[[float], Awaitable[None]]


def make_fake() -> Subject:
    clock = FakeClock()
    return Subject(clock, clock.run_for)


def make_real() -> Subject:
    clock = RealClock()
    return Subject(clock, clock.sleep)


CLOCKS: Final = [make_fake, make_real]


@pytest.fixture(params=CLOCKS, ids=lambda make: make.__name__)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with asyncio.timeout(DEADLINE_S):
        yield request.param()


async def test_now_is_aware_and_in_utc(subject: Subject) -> None:
    assert subject.clock.now().tzinfo is UTC


async def test_both_clocks_move_on_together(subject: Subject) -> None:
    now, monotonic_s = subject.clock.now(), subject.clock.monotonic_s()
    await subject.pass_s(SOON_S)
    moved_s = subject.clock.monotonic_s() - monotonic_s
    assert moved_s >= SOON_S * 0.9
    assert subject.clock.now() - now == pytest.approx(timedelta(seconds=moved_s), abs=timedelta(seconds=0.5))


async def test_monotonic_time_never_goes_back(subject: Subject) -> None:
    seen = []
    for _ in range(20):
        seen.append(subject.clock.monotonic_s())
        await subject.pass_s(SOON_S / 20)
    assert seen == sorted(seen)


async def test_sleep_lasts_as_long_as_asked(subject: Subject) -> None:
    clock = subject.clock
    started_s = clock.monotonic_s()

    async def sleep() -> float:
        await clock.sleep(SOON_S)
        return clock.monotonic_s() - started_s

    async with asyncio.TaskGroup() as tasks:
        sleeping = tasks.create_task(sleep())
        await turn()
        assert not sleeping.done()
        await subject.pass_s(SOON_S * 1.5)
    assert sleeping.result() >= SOON_S * 0.9


async def test_who_is_due_first_wakes_first(subject: Subject) -> None:
    woken: list[str] = []

    async def sleep(name: str, delay_s: float) -> None:
        await subject.clock.sleep(delay_s)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name, factor in (("last", 2.0), ("first", 0.5), ("second", 1.0)):
            tasks.create_task(sleep(name, SOON_S * factor))
        await subject.pass_s(SOON_S * 2.5)
    assert woken == ["first", "second", "last"]


@pytest.mark.parametrize("delay_s", [0, 0.0, -1.0])
async def test_no_sleep_at_all_still_lets_others_have_their_turn(subject: Subject, delay_s: float) -> None:
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(other())
        await subject.clock.sleep(delay_s)
        turns.append("we")
    assert turns == ["other", "we"]


async def test_a_sleeper_can_be_cancelled(subject: Subject) -> None:
    async with asyncio.TaskGroup() as tasks:
        sleeping = tasks.create_task(subject.clock.sleep(1000))
        await turn()
        sleeping.cancel()
        await subject.pass_s(SOON_S)
    assert sleeping.cancelled()
