"""Quotas: what a project may have, what it has had by the days and months of UTC, over all processes."""

from datetime import date
from uuid import UUID

import pytest

from outrider.policy.quota import Quota, Used
from outrider.store import quotas
from outrider.store.pool import Store
from outrider.testing.mailroom import Mailroom

TODAY = date(2026, 3, 15)


@pytest.fixture
async def project_id(mailroom: Mailroom) -> UUID:
    return await mailroom.project()


async def test_a_quota_is_read_as_it_was_set(store: Store, mailroom: Mailroom, project_id: UUID) -> None:
    other = await mailroom.project("other")
    async with store.transaction() as tx:
        assert await quotas.of_project(tx, project_id) == Quota()
        await quotas.set_quota(tx, project_id, Quota(100, None))
        assert await quotas.of_project(tx, project_id) == Quota(100, None)
        assert await quotas.of_project(tx, other) == Quota()
        assert await quotas.of_project(tx, UUID(int=9)) == Quota()


async def test_the_counts_of_all_processes_are_one(store: Store, mailroom: Mailroom, project_id: UUID) -> None:
    other = await mailroom.project("other")
    async with store.transaction() as tx:
        await quotas.lock(tx, [project_id, other])
        for day, writer, count in (
            (date(2026, 2, 28), "one", 1000),
            (date(2026, 3, 1), "one", 1),
            (date(2026, 3, 14), "two", 10),
            (TODAY, "one", 100),
            (TODAY, "one", 100),
            (TODAY, "two", 500),
            (date(2026, 3, 16), "two", 9000),  # A process whose clock is ahead.
        ):
            await quotas.count(tx, {project_id: count, other: 1}, today=day, writer=writer)
        used = await quotas.used(tx, [project_id, other, UUID(int=9)], today=TODAY)
    assert used == {project_id: Used(700, 711), other: Used(3, 5)}


async def test_old_days_are_swept_by_the_batch(store: Store, project_id: UUID) -> None:
    async with store.transaction() as tx:
        for day in range(1, 6):
            await quotas.count(tx, {project_id: 1}, today=date(2026, 3, day), writer="one")
        assert await quotas.sweep(tx, before=date(2026, 3, 4), count_max=2)
        assert not await quotas.sweep(tx, before=date(2026, 3, 4), count_max=2)
        assert await quotas.used(tx, [project_id], today=TODAY) == {project_id: Used(0, 2)}
