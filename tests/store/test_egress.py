"""Figures of a day: counted by many writers at once, none lost, summed for readers."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from outrider.policy.warmup import Figures
from outrider.store import egress
from outrider.store.egress import Egress, Stretch
from outrider.store.pool import Store
from outrider.testing.mailroom import WAIT_S

DAY = date(2026, 1, 1)
NEXT = DAY + timedelta(days=1)


def count(source: str = "out1", provider: str = "gmail", day: date = DAY, **counts: int) -> Egress:
    return Egress(source, provider, Figures(day=day, **counts))


async def add(store: Store, writer: str, *counts: Egress) -> None:
    async with store.transaction() as tx:
        await egress.add(tx, writer, counts)


async def of_day(store: Store, day: date = DAY) -> Sequence[Egress]:
    async with store.transaction() as tx:
        return await egress.of_day(tx, day)


async def test_every_figure_is_added_to_its_own_column(store: Store) -> None:
    await add(store, "a", count(attempted=1, delivered=2, deferred=3, bounced=4, throttled=5, complained=6))
    await add(store, "a", count(attempted=10, delivered=20, deferred=30, bounced=40, throttled=50, complained=60))
    assert await of_day(store) == [
        count(attempted=11, delivered=22, deferred=33, bounced=44, throttled=55, complained=66)
    ]


async def test_a_pair_may_come_twice_in_one_batch(store: Store) -> None:
    await add(store, "a", count(attempted=1), count(provider="yahoo", attempted=5), count(attempted=2))
    assert await of_day(store) == [count(attempted=3), count(provider="yahoo", attempted=5)]


async def test_nothing_to_add_is_nothing(store: Store) -> None:
    await add(store, "a")
    assert await of_day(store) == []


async def test_what_rolls_back_is_not_counted(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction() as tx:
            await egress.add(tx, "a", [count(attempted=1)])
            raise ValueError("after it")

    with pytest.raises(ValueError, match="after it"):
        await fail()
    assert await of_day(store) == []


async def test_writers_do_not_wait_for_each_other(store: Store) -> None:
    async with asyncio.timeout(WAIT_S), store.transaction() as held:
        await egress.add(held, "a", [count(attempted=1)])
        await add(store, "b", count(attempted=2))
        assert await of_day(store) == [count(attempted=2)]
    assert await of_day(store) == [count(attempted=3)]


async def test_many_at_once_lose_nothing(store: Store) -> None:
    """Also when transactions of one writer name the same rows in opposite orders."""
    names = ["out1", "out2", "out3"]

    async def settle(writer: str, turn: int) -> None:
        ordered = names if turn % 2 else names[::-1]
        await add(store, writer, *(count(source=name, attempted=1, delivered=turn) for name in ordered))

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(settle(writer, turn) for turn in range(20) for writer in ("a", "b")))
    assert await of_day(store) == [count(source=name, attempted=40, delivered=380) for name in names]


async def test_stretches_are_read_day_by_day_in_one_go(store: Store) -> None:
    days = [DAY + timedelta(days=ago) for ago in range(6)]
    for writer in ("a", "b"):
        await add(store, writer, *(count(day=day, attempted=day.day) for day in days))
        await add(store, writer, count(provider="yahoo", day=days[1], attempted=7), count(source="out2", attempted=9))
    asked = [Stretch("out1", "gmail", days[2]), Stretch("out1", "yahoo", DAY), Stretch("out3", "gmail", DAY)]
    async with store.transaction() as tx:
        found = await egress.of_stretches(tx, asked, days[1], days[4])
        assert await egress.of_stretches(tx, [], DAY, NEXT) == {}
    assert found == {
        ("out1", "gmail"): [Figures(day=day, attempted=2 * day.day) for day in days[2:5]],
        ("out1", "yahoo"): [Figures(day=days[1], attempted=14)],
        ("out3", "gmail"): [],
    }
