"""What a leased lane waits for, told in its row: by its owner alone, ended by anybody, never in the way of a lease."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from outrider.base.vocab import Stream, WaitKind
from outrider.store import lanes
from outrider.store.lanes import GivenBack, Pause
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.queueroom import QueueRoom

US, THEM = UUID(int=1), UUID(int=2)
MINUTE = timedelta(minutes=1)


async def tell(store: Store, clock: FakeClock, lane_id: int, kind: WaitKind | None, owner: UUID = US) -> None:
    pause = None if kind is None else Pause(clock.now() + MINUTE, kind, f"said {kind}")
    async with store.transaction() as tx:
        await lanes.tell(tx, owner, {lane_id: pause}, now=clock.now())


async def told(room: QueueRoom, lane_id: int) -> tuple[Any, datetime | None, datetime | None]:
    row = await room.lane_row(lane_id)
    assert (row["pause_reason"] is None) is (row["paused_until"] is None)
    return row["pause_kind"], row["paused_since"], row["paused_until"]


async def test_it_says_why_since_when_and_until_when(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    await queueroom.lease(lane_id, US)
    began_at = clock.now()
    for kind, since_s in ((WaitKind.RATE, 0), (WaitKind.RATE, 0), (WaitKind.REST, 20)):
        await tell(store, clock, lane_id, kind)
        since = began_at + timedelta(seconds=since_s)
        assert await told(queueroom, lane_id) == (kind, since, clock.now() + MINUTE)
        clock.advance(10)
    await tell(store, clock, lane_id, None)
    assert await told(queueroom, lane_id) == (None, None, None)


async def test_only_its_owner_tells(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    for owner in (None, THEM):
        if owner is not None:
            await queueroom.lease(lane_id, owner)
        await tell(store, clock, lane_id, WaitKind.RATE)
        assert await told(queueroom, lane_id) == (None, None, None)


async def test_who_ends_it_is_heard_by_its_owner(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    ended_id, lasting_id = await queueroom.lane(), await queueroom.lane()
    for lane_id, kind in ((ended_id, WaitKind.DOMAIN_RATE), (lasting_id, WaitKind.RATE)):
        await queueroom.lease(lane_id, US)
        await tell(store, clock, lane_id, kind)
    async with store.transaction() as tx:
        args = (queueroom.project_id, "shop.example", WaitKind.DOMAIN_RATE)
        assert await lanes.end_pauses(tx, *args, now=clock.now()) == 1
        assert await lanes.end_pauses(tx, *args, now=clock.now()) == 0
        assert await lanes.unpaused(tx, US, [ended_id, lasting_id]) == {ended_id}
        assert await lanes.unpaused(tx, THEM, [ended_id, lasting_id]) == set()


async def test_a_ceiling_that_rose_is_heard_by_its_owner_too(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    await queueroom.lease(lane_id, US)
    await tell(store, clock, lane_id, WaitKind.WARMUP)
    async with store.transaction() as tx:
        assert await lanes.end_pauses_of_pools(tx, ["other"], WaitKind.WARMUP, now=clock.now()) == 0
        assert await lanes.end_pauses_of_pools(tx, ["default"], WaitKind.WARMUP, now=clock.now()) == 1
        assert await lanes.unpaused(tx, US, [lane_id]) == {lane_id}


async def test_a_dead_owners_pause_keeps_nobody_from_its_lane(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    await queueroom.mail(lane_id)
    await queueroom.lease(lane_id, US, lease_s=5)
    await tell(store, clock, lane_id, WaitKind.RATE)
    since = clock.now()
    clock.advance(6)
    async with store.transaction() as tx:
        found = await lanes.lease(
            tx,
            Stream.TRANSACTIONAL,
            pools=["default"],
            owner=THEM,
            now=clock.now(),
            lease_until=clock.now() + MINUTE,
            count_max=1,
        )
    assert [lane.lane_id for lane in found] == [lane_id]
    assert (await queueroom.lane_row(lane_id))["paused_until"] is None, "it is being sent"
    async with store.transaction() as tx:
        pause = Pause(clock.now() + MINUTE, WaitKind.RATE, "said rate")
        await lanes.release(tx, THEM, [GivenBack(lane_id, "gmail", pause)], now=clock.now())
    assert await told(queueroom, lane_id) == (WaitKind.RATE, since, pause.until), "it is the same wait"
