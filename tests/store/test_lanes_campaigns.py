"""Lanes of campaigns: each on its own, woken on its own, swept when it is over. Races: test_lanes_race.py."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from outrider.base.vocab import Stream, WaitKind
from outrider.store import lanes
from outrider.store.lanes import GivenBack, Lane, LaneGoneError, LaneKey, Pause
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import POOL, Mailroom


async def lease(store: Store, clock: FakeClock, owner: UUID) -> list[Lane]:
    now, until = clock.now(), clock.now() + timedelta(seconds=30)
    async with store.transaction() as tx:
        return await lanes.lease(
            tx, Stream.MARKETING, pools=[POOL], owner=owner, now=now, lease_until=until, count_max=9
        )


async def release(
    store: Store, clock: FakeClock, owner: UUID, held: Sequence[Lane], pause: Pause | None = None
) -> None:
    async with store.transaction() as tx:
        await lanes.release(tx, owner, [GivenBack(lane.lane_id, pause=pause) for lane in held], now=clock.now())


async def test_lanes_of_campaigns_are_swept_when_they_have_long_been_empty(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id, owner = await mailroom.project(), uuid4()
    names = ["", "full", "fresh", "over", "never leased", "held"]
    keys = [LaneKey(POOL, "a.example", Stream.MARKETING, project_id, "s.example", campaign=name) for name in names]
    async with store.transaction() as tx:
        made = await lanes.ensure(tx, keys)
        await lanes.touch(tx, list(made.values()), due_at=clock.now())
        sleep = "UPDATE lane SET next_due_at = 'infinity', hold_id = $2 WHERE campaign = $1"
        await tx.execute(sleep, "never leased", None)
        await tx.execute(sleep, "held", uuid4())
    leased = await lease(store, clock, owner)
    assert {lane.campaign for lane in leased} == {"", "full", "fresh", "over"}
    await release(store, clock, owner, [lane for lane in leased if lane.campaign != "fresh"])
    clock.advance(10)
    await release(store, clock, owner, [lane for lane in leased if lane.campaign == "fresh"])
    async with store.transaction() as tx:
        await tx.execute(
            "INSERT INTO queue (recipient_id, lane_id, due_at, expires_at)"
            " SELECT $1, lane_id, $2, $2 FROM lane WHERE campaign = 'full'",
            uuid4(),
            clock.now(),
        )
        assert await lanes.sweep(tx, idle_before=clock.now() - timedelta(seconds=5), count_max=3)
        assert not await lanes.sweep(tx, idle_before=clock.now() - timedelta(seconds=5), count_max=3)
        left = await tx.fetch("SELECT campaign FROM lane ORDER BY campaign")
    assert [row["campaign"] for row in left] == ["", "fresh", "full", "held"]


async def test_no_mail_goes_into_a_lane_that_is_gone(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    lane_id = await mailroom.lane("a.example")
    with pytest.raises(LaneGoneError):
        async with store.transaction() as tx:
            await lanes.touch(tx, [lane_id, lane_id + 1], due_at=clock.now())


async def test_a_pause_ends_for_one_campaign_alone(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id, owner = await mailroom.project(), uuid4()
    domains = {"": "s.example", "spring": "s.example", "autumn": "other.example"}
    keys = [
        LaneKey(POOL, "a.example", Stream.MARKETING, project_id, domain, campaign=campaign)
        for campaign, domain in domains.items()
    ]
    async with store.transaction() as tx:
        made = await lanes.ensure(tx, keys)
        await lanes.touch(tx, list(made.values()), due_at=clock.now())
    pause = Pause(clock.now() + timedelta(hours=1), WaitKind.GUARD, "It must wait.")
    await release(store, clock, owner, await lease(store, clock, owner), pause)

    async def ended(domain: str, campaign: str) -> int:
        async with store.transaction() as tx:
            return await lanes.end_pauses(tx, project_id, domain, WaitKind.GUARD, campaign=campaign, now=clock.now())

    assert await ended("", "winter") == 0
    assert await ended("", "spring") == 1
    assert [lane.campaign for lane in await lease(store, clock, owner)] == ["spring"]
    assert await ended("s.example", "") == 1, "the one without a campaign"
    assert await ended("", "") == 1
