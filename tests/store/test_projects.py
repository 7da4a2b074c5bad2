"""Projects: one of each name, whoever makes it first."""

import asyncio
from uuid import UUID

from outrider.base.vocab import UnalignedFrom
from outrider.store import domains, projects
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom, wait_blocked


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


async def test_a_locked_project_is_waited_for_and_its_rows_can_be_written(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id, other_id = await mailroom.project("shop"), await mailroom.project("other")

    async def lock(one: UUID) -> None:
        async with store.transaction() as tx:
            await projects.lock(tx, one)

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group, store.transaction() as tx:
        await projects.lock(tx, project_id)
        waiting = group.create_task(lock(project_id))
        await wait_blocked(store)
        await lock(other_id)
        async with store.transaction() as another:
            await domains.insert(another, Domain(mailroom.new_id(), project_id, "shop.example", clock.now()))
        assert not waiting.done()


async def test_who_has_a_bounce_domain_of_its_own(store: Store, mailroom: Mailroom) -> None:
    shop, _, third = [await mailroom.project(name) for name in ("shop", "other", "third")]
    async with store.transaction() as tx:
        assert await projects.bounce_domains(tx) == {}
        for project_id in (shop, third):
            await projects.set_bounce_domain(tx, project_id, "bounces.shop.example")
        assert await projects.bounce_domains(tx) == {
            shop: "bounces.shop.example",
            third: "bounces.shop.example",
        }


async def test_what_becomes_of_unaligned_mail_is_each_projects_own(store: Store, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    async with store.transaction() as tx:
        await projects.set_alignment(tx, shop, UnalignedFrom.REWRITE)
        assert [await projects.alignment_of(tx, one) for one in (shop, other, mailroom.new_id())] == [
            UnalignedFrom.REWRITE,
            UnalignedFrom.REFUSE,
            UnalignedFrom.REFUSE,
        ]


async def test_what_a_project_says_of_its_content_is_its_own(store: Store, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    async with store.transaction() as tx:
        await projects.set_content_policy(tx, shop, '{"hold_score": 8.5}')
        assert [await projects.content_policy_of(tx, one) for one in (shop, other, mailroom.new_id())] == [
            '{"hold_score": 8.5}',
            "{}",
            "{}",
        ]
