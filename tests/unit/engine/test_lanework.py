"""A lane while a process works on it."""

import asyncio
from uuid import UUID

import pytest

from outrider.base.vocab import Stream
from outrider.engine.lanework import LaneWork
from outrider.policy.shaping import Place
from outrider.store.lanes import Lane

LANE = Lane(1, "default", "a.example", Stream.TRANSACTIONAL, UUID(int=1), "shop.example", None)


async def test_a_place_comes_back_when_its_attempt_ends() -> None:
    ended: list[str] = []
    may_end = asyncio.Event()

    async def attempt() -> None:
        await may_end.wait()

    async with asyncio.TaskGroup() as group:
        work = LaneWork(LANE, group, lane_in_flight_max=1)
        await work.places.acquire()
        work.begin(attempt(), lambda: ended.append("one"))
        assert work.places.locked()
        assert not await work.is_idle_within(0.001)
        assert ended == []
        may_end.set()
        assert await work.is_idle_within(5)
        await asyncio.wait_for(work.places.acquire(), 5)
        assert (ended, work.attempts) == (["one"], set())
        assert await work.is_idle_within(0)


async def test_an_attempt_cancelled_before_it_began_gives_its_place_back_too() -> None:
    ended: list[str] = []

    async def attempt() -> None:
        raise AssertionError("it never begins")

    async def begin_and_fail() -> None:
        async with asyncio.TaskGroup() as group:
            work = works[0] = LaneWork(LANE, group, lane_in_flight_max=1)
            await work.places.acquire()
            work.begin(attempt(), lambda: ended.append("one"))
            raise KeyError

    works: dict[int, LaneWork] = {}
    with pytest.raises(ExceptionGroup):
        await begin_and_fail()
    assert ended == ["one"]
    assert not works[0].places.locked()


async def test_it_has_a_provider_once_it_was_routed() -> None:
    async with asyncio.TaskGroup() as group:
        work = LaneWork(LANE, group, lane_in_flight_max=1)
        assert work.provider == ""
        work.place = Place("", "mx.a.example")
        assert work.provider == "mx.a.example"
