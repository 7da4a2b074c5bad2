"""Turns: transactional first, projects in turn, first come first served; a cancellation loses no place and no turn."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from outrider.base.vocab import Stream
from outrider.engine.turns import Line, Places
from outrider.testing.clock import turns

T, M = Stream.TRANSACTIONAL, Stream.MARKETING
ANN, BOB, CAT = UUID(int=1), UUID(int=2), UUID(int=3)
BY_LETTER = {"t": T, "m": M}
BY_NAME = {"ann": ANN, "bob": BOB, "cat": CAT}


class Waiters:
    """Who waits, and in which order their turns came. A name is `t-ann-1`: stream, project, and a number."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.turns: list[str] = []
        self.running: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, is_again: bool = False) -> None:
        for name in names:
            self.running[name] = asyncio.create_task(self._wait(name, is_again=is_again))
            await asyncio.sleep(0)

    async def _wait(self, name: str, *, is_again: bool) -> None:
        letter, project, _ = name.split("-")
        await self.line.wait(BY_LETTER[letter], BY_NAME[project], is_again=is_again)
        self.turns.append(name)

    async def all_turns(self) -> list[str]:
        while self.line.next():
            await asyncio.sleep(0)
        await turns()
        return self.turns


@pytest.fixture
async def waiters() -> AsyncIterator[Waiters]:
    made = Waiters(Line())
    yield made
    for one in made.running.values():
        one.cancel()
    await asyncio.gather(*made.running.values(), return_exceptions=True)
    assert len(made.line) == 0
    assert not any(map(made.line.count_before, Stream))


async def test_transactional_comes_first_then_the_projects_take_turns(waiters: Waiters) -> None:
    await waiters.come("m-ann-1", "t-ann-1", "t-ann-2", "t-ann-3", "t-bob-1", "m-bob-1", "t-cat-1", "m-ann-2")
    assert await waiters.all_turns() == [
        "t-ann-1", "t-bob-1", "t-cat-1", "t-ann-2", "t-ann-3", "m-ann-1", "m-bob-1", "m-ann-2"
    ]  # fmt: skip


async def test_who_could_not_use_his_turn_is_first_again(waiters: Waiters) -> None:
    await waiters.come("t-ann-1", "t-bob-1", "t-bob-2")
    await waiters.come("t-bob-3", is_again=True)
    assert await waiters.all_turns() == ["t-bob-3", "t-ann-1", "t-bob-1", "t-bob-2"]


async def test_a_newcomer_counts_those_before_him(waiters: Waiters) -> None:
    await waiters.come("m-ann-1", "m-bob-1", "t-ann-1")
    assert [waiters.line.count_before(stream) for stream in (T, M)] == [1, 3]
    assert len(waiters.line) == 3


async def test_a_full_line_has_room_for_another_project(waiters: Waiters) -> None:
    def is_full(stream: Stream, project: UUID) -> bool:
        return waiters.line.is_full_for(stream, project, 4)

    await waiters.come(*(f"t-ann-{n}" for n in range(4)))
    assert is_full(T, ANN)
    assert not is_full(T, BOB)
    assert not is_full(M, ANN)
    await waiters.come("t-bob-1")
    assert not is_full(T, BOB)
    await waiters.come("t-bob-2")
    assert is_full(T, BOB)
    assert not is_full(T, CAT)


async def test_a_turn_may_be_for_some_streams_only(waiters: Waiters) -> None:
    await waiters.come("m-ann-1")
    assert waiters.line.next(T) is None
    assert waiters.line.next(T, M) is M
    assert waiters.line.next() is None


async def test_a_turn_that_comes_with_a_cancellation_goes_to_the_next(waiters: Waiters) -> None:
    await waiters.come("t-ann-1", "t-bob-1", "t-cat-1")
    assert waiters.line.next() is T
    waiters.running["t-ann-1"].cancel()
    waiters.running["t-bob-1"].cancel()  # He is next, and has not heard of his own end.
    await turns()
    assert waiters.turns == ["t-cat-1"]


async def test_marketing_never_takes_the_last_places() -> None:
    places = Places(4, marketing_max=3)
    taken = [asyncio.create_task(places.acquire(M, ANN)) for _ in range(6)]
    await turns()
    assert (sum(one.done() for one in taken), places.free_count) == (3, 1)
    await asyncio.wait_for(places.acquire(T, ANN), 1)
    later = asyncio.create_task(places.acquire(T, BOB))
    await turns()
    assert not later.done()
    places.release(M)
    await turns()
    assert later.done(), "transactional mail waited behind a campaign"
    places.release(T)
    await turns()
    assert sum(one.done() for one in taken) == 4
    for one in taken:
        one.cancel()
    await asyncio.gather(*taken, return_exceptions=True)


async def test_nobody_overtakes_whom_a_place_was_given_to() -> None:
    places = Places(1, marketing_max=1)
    await places.acquire(T, ANN)
    order: list[str] = []

    async def take(name: str, stream: Stream, project: UUID) -> None:
        await places.acquire(stream, project)
        order.append(name)
        places.release(stream)

    async with asyncio.TaskGroup() as group:
        group.create_task(take("waited", M, ANN))
        await asyncio.sleep(0)
        places.release(T)
        group.create_task(take("came", T, BOB))  # Runs before the one who waited.
    assert order == ["waited", "came"]
    assert places.free_count == 1


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_and_no_turn_is_lost_whenever_anybody_is_cancelled(seed: int) -> None:
    chance = random.Random(seed)
    count, marketing_max = chance.choice([(1, 1), (2, 1), (5, 3), (8, 8)])
    places = Places(count, marketing_max=marketing_max)
    held = dict.fromkeys(Stream, 0)

    @asynccontextmanager
    async def place(stream: Stream, project: UUID) -> AsyncIterator[None]:
        await places.acquire(stream, project)
        held[stream] += 1
        assert held[M] <= marketing_max
        assert sum(held.values()) <= count
        try:
            yield
        finally:
            held[stream] -= 1
            places.release(stream)

    async def work(stream: Stream, project: UUID, turn_count: int) -> None:
        async with place(stream, project):
            for _ in range(turn_count):
                await asyncio.sleep(0)

    running: list[asyncio.Task[None]] = []
    for _ in range(200):
        match chance.randrange(3):
            case 0 if running:
                chance.choice(running).cancel()
            case 1:
                await asyncio.sleep(0)
            case _:
                who = chance.choice(list(Stream)), UUID(int=chance.randrange(3)), chance.randrange(4)
                running.append(asyncio.create_task(work(*who)))
    await turns()
    async with asyncio.timeout(2):
        await asyncio.gather(*running, return_exceptions=True)
    assert not any(one.exception() for one in running if not one.cancelled())
    assert (places.free_count, held) == (count, {T: 0, M: 0})
    async with asyncio.timeout(1):
        for _ in range(count):
            await places.acquire(T, ANN)
