"""Holds: kept, told, ended; and no lane is ever paused for a hold that is gone."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from outrider.base.vocab import HoldScope
from outrider.store import holds, lanes
from outrider.store.holds import Hold
from outrider.store.pool import Store, Tx
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import wait_blocked
from outrider.testing.queueroom import QueueRoom

WAIT_S = 10.0
PAUSE_COLUMNS = ("paused_until", "pause_kind", "pause_reason", "paused_since", "hold_id")


async def put(store: Store, room: QueueRoom, clock: FakeClock, **changes: Any) -> Hold:
    values = {"scope": HoldScope.PROVIDER, "subject": "gmail", "note": "", "created_at": clock.now()} | changes
    async with store.transaction() as tx:
        return await holds.put(tx, Hold(hold_id=room.new_id(), **values))


async def pause(store: Store, hold: Hold, lane_ids: list[int]) -> frozenset[int]:
    async with store.transaction() as tx:
        return await holds.pause_lanes(tx, hold.hold_id, lane_ids, reason="held", since=hold.created_at)


async def resume(tx: Tx, hold_id: UUID, *, lane_count_max: int = 1000) -> int:
    """End the hold and wake its first lanes, as `engine.control` does."""
    await holds.remove(tx, hold_id)
    return await holds.wake(tx, hold_id, lane_count_max=lane_count_max)


async def test_a_hold_is_put_once_and_its_note_renewed(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    first = await put(store, queueroom, clock, note="too many complaints")
    clock.advance(60)
    assert await put(store, queueroom, clock) == first
    again = await put(store, queueroom, clock, note="until Monday")
    assert (again.hold_id, again.created_at, again.note) == (first.hold_id, first.created_at, "until Monday")
    other = await put(store, queueroom, clock, scope=HoldScope.LANE, subject="1")
    async with store.transaction() as tx:
        assert await holds.all(tx) == [again, other]
        assert await holds.find(tx, HoldScope.LANE, "1") == other
        assert await holds.find(tx, HoldScope.LANE, "2") is None
        assert await holds.remove(tx, other.hold_id)
        assert not await holds.remove(tx, other.hold_id)
        assert await holds.all(tx) == [again]


async def test_free_lanes_are_paused_and_woken_when_their_queue_says(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    full, empty, leased = [await queueroom.lane() for _ in range(3)]
    later = clock.now() + timedelta(minutes=5)
    await queueroom.mail(full, due_at=later)
    await queueroom.lease(leased, queueroom.new_id())
    hold = await put(store, queueroom, clock)
    assert await pause(store, hold, [full, empty, leased]) == {full, empty}
    row = await queueroom.lane_row(full)
    assert (row["pause_kind"], row["pause_reason"], row["hold_id"]) == ("hold", "held", hold.hold_id)
    assert (row["paused_since"], row["paused_until"].year, row["next_due_at"].year) == (clock.now(), 9999, 9999)
    assert await pause(store, hold, [full, empty]) == frozenset(), "they are"
    async with store.transaction() as tx:
        assert await resume(tx, hold.hold_id) == 2
    for lane_id, due_year in ((full, later.year), (empty, 9999)):
        row = await queueroom.lane_row(lane_id)
        assert row["next_due_at"].year == due_year
        assert {row[name] for name in ("paused_until", "pause_kind", "pause_reason", "paused_since", "hold_id")} == {
            None
        }
    assert (await queueroom.lane_row(full))["next_due_at"] == later


async def test_waking_announces_itself(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id, heard = await queueroom.lane(), asyncio.Event()
    hold = await put(store, queueroom, clock)
    await pause(store, hold, [lane_id])
    async with store.listening(lanes.WAKE_CHANNEL, lambda _: heard.set()), asyncio.timeout(WAIT_S):
        async with store.transaction() as tx:
            await resume(tx, hold.hold_id)
        await heard.wait()


async def test_a_hold_takes_over_a_pause_by_a_limit_but_not_another_hold(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane(paused_until=clock.now() + timedelta(seconds=9))
    hold = await put(store, queueroom, clock)
    other = await put(store, queueroom, clock, scope=HoldScope.LANE, subject=str(lane_id))
    assert await pause(store, hold, [lane_id]) == {lane_id}
    assert await pause(store, other, [lane_id]) == frozenset()
    assert (await queueroom.lane_row(lane_id))["hold_id"] == hold.hold_id


async def test_no_lane_is_paused_for_a_hold_that_is_gone(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    hold = await put(store, queueroom, clock)
    async with store.transaction() as tx:
        await resume(tx, hold.hold_id)
    assert await pause(store, hold, [lane_id]) == frozenset()
    assert (await queueroom.lane_row(lane_id))["paused_until"] is None


async def test_who_resumes_while_a_lane_is_being_paused_finds_it_paused(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    await queueroom.mail(lane_id)
    hold = await put(store, queueroom, clock)

    async def resume_it() -> int:
        async with store.transaction() as tx:
            return await resume(tx, hold.hold_id)

    async with asyncio.TaskGroup() as group, asyncio.timeout(WAIT_S):
        async with store.transaction() as tx:
            paused = await holds.pause_lanes(tx, hold.hold_id, [lane_id], reason="held", since=clock.now())
            resuming = group.create_task(resume_it())
            await wait_blocked(store)  # It waits for the hold's row, which we have pinned.
        assert await resuming == 1
    assert paused == {lane_id}
    row = await queueroom.lane_row(lane_id)
    assert (row["paused_until"], row["hold_id"], row["next_due_at"]) == (None, None, clock.now())


async def test_who_pauses_while_the_hold_is_being_ended_pauses_nothing(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    hold = await put(store, queueroom, clock)
    async with asyncio.TaskGroup() as group, asyncio.timeout(WAIT_S):
        async with store.transaction() as tx:
            await resume(tx, hold.hold_id)
            pausing = group.create_task(pause(store, hold, [lane_id]))
            await wait_blocked(store)
        assert await pausing == frozenset()
    assert (await queueroom.lane_row(lane_id))["hold_id"] is None


async def test_lanes_whose_hold_is_gone_are_orphans_and_anybody_may_wake_them(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    made = [await queueroom.lane() for _ in range(3)]
    hold = await put(store, queueroom, clock)
    await pause(store, hold, made)
    async with store.transaction() as tx:
        assert await holds.orphan_ids(tx) == []
        assert await resume(tx, hold.hold_id, lane_count_max=2) == 2  # And then the operator's machine died.
        assert await holds.orphan_ids(tx) == [hold.hold_id]
        assert await holds.wake(tx, hold.hold_id, lane_count_max=2) == 1
        assert await holds.wake(tx, hold.hold_id, lane_count_max=2) == 0
        assert await holds.orphan_ids(tx) == []
