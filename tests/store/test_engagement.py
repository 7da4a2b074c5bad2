"""Counts of opens and clicks: added up, and the first known as such exactly once, across processes."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from outrider.store import engagement
from outrider.store.engagement import Counted, Firsts
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock

PROJECT = UUID(int=7)
ANN, BOB = UUID(int=1), UUID(int=2)


async def add(store: Store, *counted: Counted) -> dict[UUID, Firsts]:
    async with store.transaction() as tx:
        return await engagement.add(tx, counted)


def ann(**given: Any) -> Counted:
    return Counted(**{"recipient_id": ANN, "project_id": PROJECT} | given)


async def test_the_first_of_each_kind_is_the_first_and_then_none_is(store: Store, clock: FakeClock) -> None:
    now = clock.now()
    machine = ann(opens=2, machine_opens=2, opened_at=now)
    assert await add(store, machine) == {ANN: Firsts(True, False, False, False)}
    human = ann(opens=3, clicks=1, machine_opens=1, human_opened_at=now, clicked_at=now, human_clicked_at=now)
    assert await add(store, human) == {ANN: Firsts(False, True, True, True)}
    assert await add(store, human) == {ANN: Firsts(False, False, False, False)}


async def test_instants_are_the_first_and_the_last(store: Store, clock: FakeClock) -> None:
    early, late = clock.now(), clock.now() + timedelta(seconds=5)
    await add(store, ann(clicks=1, clicked_at=late, last_clicked_at=late))
    await add(store, ann(clicks=1, clicked_at=early, last_clicked_at=early))
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT * FROM engagement WHERE project_id = $1", PROJECT)
    assert row is not None
    assert (row["clicks"], row["first_clicked_at"], row["last_clicked_at"]) == (2, early, late)
    assert row["human_opened_at"] is None


async def test_of_many_at_once_exactly_one_has_the_first(store: Store, clock: FakeClock) -> None:
    both = (ann(clicks=1), Counted(recipient_id=BOB, project_id=PROJECT, clicks=1))
    made = await asyncio.gather(*(add(store, *(both if number % 2 else both[::-1])) for number in range(20)))
    for who in (ANN, BOB):
        assert sum(one[who].is_click for one in made) == 1
        assert sum(one[who].is_human_click for one in made) == 1


async def test_nobody_is_known_of_whom_there_is_no_mail(store: Store) -> None:
    async with store.transaction() as tx:
        assert await engagement.about(tx, [ANN]) == {}
