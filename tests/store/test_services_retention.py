"""The keeper: each project's mail and log go at their time, the shortest and the longest."""

from uuid import UUID

import pytest

from outrider.base.vocab import EventKind
from outrider.engine.upkeep import ensure_partitions
from outrider.services.retention import Retention, RetentionKeeper, Retentions
from outrider.store import events, retention
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest
DAY_S = 86_400.0


async def keep_for(store: Store, project_id: UUID, days: int) -> None:
    async with store.transaction() as tx:
        await retention.set_days(tx, project_id, days)


async def test_a_project_says_how_long(store: Store, mailroom: Mailroom) -> None:
    project_id, retentions = await mailroom.project(), Retentions(store, days=90)
    assert await retentions.view(project_id) == Retention(90, is_own=False)
    await keep_for(store, project_id, 7)
    assert await retentions.view(project_id) == Retention(7, is_own=True)


async def test_each_project_keeps_its_own_time(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    short, long = await mailroom.project("short"), await mailroom.project("long")
    await keep_for(store, short, 2)
    keeper = RetentionKeeper(store, days=5, clock=clock, logger=Journal().logger)
    for project_id in (short, long):
        await mailroom.mail(project_id, ["ann@a.example"])
        async with store.transaction() as tx:
            await tx.execute("UPDATE recipient SET status = 'delivered' WHERE project_id = $1", project_id)

    async def left() -> list[tuple[int, int]]:
        await ensure_partitions(store, clock)
        await keeper.keep()
        async with store.transaction() as tx:
            log = await events.after(tx, events.Cursor(), count_max=10)
            mail = [row["project_id"] for row in await tx.fetch("SELECT project_id FROM message")]
        accepted = [one.project_id for one in log if one.kind is EventKind.ACCEPTED]
        return [(mail.count(one), accepted.count(one)) for one in (short, long)]

    assert await left() == [(1, 1), (1, 1)]
    clock.advance(3 * DAY_S)
    assert await left() == [(0, 0), (1, 1)]
    clock.advance(3 * DAY_S)
    assert await left() == [(0, 0), (0, 0)]
