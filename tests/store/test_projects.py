"""Projects: one of each name, whoever makes it first."""

import asyncio

from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


async def test_the_first_of_a_name_stays(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    first, second = Project(mailroom.new_id(), "shop"), Project(mailroom.new_id(), "shop")
    async with store.transaction() as tx:
        assert await projects.ensure(tx, first, now=clock.now()) == first
        assert await projects.ensure(tx, second, now=clock.now()) == first
        assert await projects.by_name(tx, "shop") == first


async def test_many_at_once_agree_on_one(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    async def make() -> Project:
        async with store.transaction() as tx:
            return await projects.ensure(tx, Project(mailroom.new_id(), "shop"), now=clock.now())

    found = await asyncio.gather(*(make() for _ in range(8)))
    assert len({project.project_id for project in found}) == 1


async def test_an_unknown_name_is_none(store: Store, mailroom: Mailroom) -> None:
    await mailroom.project("shop")
    async with store.transaction() as tx:
        assert await projects.by_name(tx, "Shop") is None
