"""Rows of warm-ups: begun once, moved only by whoever sees them as they are."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from outrider.policy.warmup import Figures
from outrider.store import egress, warmups
from outrider.store.egress import Egress, Stretch
from outrider.store.pool import Store
from outrider.store.warmups import Warmup
from outrider.testing.clock import EPOCH
from outrider.testing.mailroom import WAIT_S

TODAY = EPOCH.date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture
def first() -> Warmup:
    return Warmup("out1", "gmail", "mine", 0, TODAY, EPOCH, "It begins.")


def moved(row: Warmup, stage: int) -> Warmup:
    return msgspec.structs.replace(
        row,
        stage=stage,
        stage_since=TODAY + timedelta(days=stage),
        changed_at=EPOCH + timedelta(days=stage),
        note="So.",
    )


async def test_a_row_begins_once(store: Store, first: Warmup) -> None:
    other = msgspec.structs.replace(first, provider="yahoo")
    async with store.transaction() as tx:
        assert await warmups.begin(tx, first)
        assert not await warmups.begin(tx, moved(first, 3))
        assert await warmups.begin(tx, other)
        assert await warmups.read_all(tx) == [first, other]
        assert await warmups.of_sources(tx, ["out1"]) == [first, other]
        assert await warmups.of_sources(tx, ["out2"]) == []


async def test_an_operator_overwrites(store: Store, first: Warmup) -> None:
    async with store.transaction() as tx:
        for row in (first, moved(first, 2)):
            await warmups.put(tx, row)
            assert await warmups.read_all(tx) == [row]


async def test_only_who_sees_it_as_it_is_moves_it(store: Store, first: Warmup) -> None:
    async with store.transaction() as tx:
        await warmups.put(tx, first)
        assert await warmups.move(tx, first, moved(first, 1))
        assert not await warmups.move(tx, first, moved(first, 2))
        assert await warmups.read_all(tx) == [moved(first, 1)]


async def test_of_several_that_move_it_at_once_one_does(store: Store, first: Warmup) -> None:
    async def move(stage: int) -> bool:
        async with store.transaction() as tx:
            return await warmups.move(tx, first, moved(first, stage))

    async with store.transaction() as tx:
        await warmups.put(tx, first)
    async with asyncio.timeout(WAIT_S):
        done = await asyncio.gather(*(move(stage) for stage in range(1, 9)))
    assert done.count(True) == 1
    async with store.transaction() as tx:
        assert await warmups.read_all(tx) == [moved(first, done.index(True) + 1)]


async def test_newcomers_have_sent_enough_and_have_no_row(store: Store, first: Warmup) -> None:
    counts = [
        Egress(source, provider, Figures(day=day, attempted=attempted))
        for source, provider, day, attempted in [
            ("out1", "gmail", TODAY, 50),  # Has a row.
            ("out1", "yahoo", YESTERDAY, 6),
            ("out1", "yahoo", TODAY, 6),
            ("out1", "few", TODAY, 9),
            ("out1", "old", YESTERDAY - timedelta(days=1), 50),
            ("out2", "gmail", TODAY, 10),
            ("warm", "gmail", TODAY, 50),  # Not asked for.
        ]
    ]
    async with store.transaction() as tx:
        await egress.add(tx, "a", counts[::2])
        await egress.add(tx, "b", counts[1::2])
        await warmups.put(tx, first)
        found = await warmups.newcomers(tx, ["out1", "out2"], YESTERDAY, attempted_min=10)
    assert found == [Stretch("out1", "yahoo", YESTERDAY), Stretch("out2", "gmail", TODAY)]
