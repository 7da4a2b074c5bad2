"""Station 2 on a real database: whose lane it is, what in it is due, and how one notices that it is lost."""

import asyncio
from collections.abc import Sequence, Set
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from outrider.base.clock import Clock
from outrider.base.vocab import Stream
from outrider.engine import lanes
from outrider.engine.lanes import LaneKeeper
from outrider.store import queue
from outrider.store.lanes import GivenBack, Lane
from outrider.store.pool import Store, Tx
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock, turns
from outrider.testing.engineroom import EngineRoom, Line, running


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def room_settings() -> dict[str, Any]:
    return {"claim_count_max": 10}


async def read_nothing(_tx: Tx, _message_ids: Set[UUID]) -> None:
    """Read no message ahead."""


def keeper_in(
    room: EngineRoom,
    *,
    owner: UUID | None = None,
    busy: Sequence[UUID] = (),
    clock: Clock | None = None,
    store: Store | None = None,
) -> LaneKeeper:
    keeper = LaneKeeper(
        store or room.store,
        room.settings,
        owner=owner or uuid4(),
        pools=["default"],
        clock=clock or room.clock,
        logger=room.journal.logger,
        preload=read_nothing,
    )
    keeper.busy.update(busy)
    return keeper


async def test_a_lease_comes_with_the_first_due_recipients(room: EngineRoom) -> None:
    session = await room.send(*(f"u{n}@a.example" for n in range(25)), "bob@b.example")
    keeper = keeper_in(room)
    leased = {lane.route: (lane, claims) for lane, claims in await keeper.lease(10, 10)}
    assert set(leased) == {"a.example", "b.example"}
    lane, claims = leased["a.example"]
    assert [claim.address for claim in claims] == [f"u{n}@a.example" for n in range(10)], "claim_count_max, in order"
    assert {(claim.message_id, claim.attempt, claim.lane_id) for claim in claims} == {(session, 0, lane.lane_id)}
    assert lane.taken_over_at is None
    assert keeper.held_count == 2
    assert keeper.is_held(lane.lane_id)


async def test_transactional_lanes_come_first(room: EngineRoom) -> None:
    for n in range(3):
        await room.send(f"ann@m{n}.example", stream=Stream.MARKETING)
        await room.send(f"ann@t{n}.example")
    leased = await keeper_in(room).lease(4, 4)
    assert [lane.stream for lane, _ in leased] == [Stream.TRANSACTIONAL] * 3 + [Stream.MARKETING]


async def test_no_lane_is_anybody_elses_too(room: EngineRoom) -> None:
    await room.send(*(f"ann@d{n}.example" for n in range(40)))
    keepers = [keeper_in(room) for _ in range(4)]
    leased = await asyncio.gather(*(keeper.lease(15, 15) for keeper in keepers))
    ids = [lane.lane_id for each in leased for lane, _ in each]
    assert len(ids) == len(set(ids))
    more = [lane.lane_id for keeper in keepers for lane, _ in await keeper.lease(40, 40)]
    assert sorted(ids + more) == sorted(set(ids + more))
    assert len(ids + more) == 40


@pytest.mark.slow
async def test_a_claim_leaves_out_what_is_being_tried(room: EngineRoom) -> None:
    await room.send(*(f"u{n}@a.example" for n in range(12)))
    keeper = keeper_in(room)
    async with running(keeper, *keeper.parts):
        ((lane, first),) = await keeper.lease(1, 1)
        keeper.busy.update(claim.recipient_id for claim in first)
        second = await keeper.claim(lane.lane_id)
        assert [claim.address for claim in second] == ["u10@a.example", "u11@a.example"]
        keeper.busy.update(claim.recipient_id for claim in second)
        assert await keeper.claim(lane.lane_id) == []


@pytest.mark.slow
async def test_lanes_that_ask_at_once_each_get_their_own(room: EngineRoom) -> None:
    await room.send(*(f"u{n}@d{n % 5}.example" for n in range(20)))
    keeper = keeper_in(room)
    async with running(keeper, *keeper.parts):
        leased = await keeper.lease(10, 10)
        answers = await asyncio.gather(*(keeper.claim(lane.lane_id) for lane, _ in leased))
        assert answers == [claims for _, claims in leased]
        assert [len(claims) for claims in answers] == [4] * 5


@pytest.mark.slow
async def test_a_lane_is_given_back_due_when_its_queue_says(room: EngineRoom, clock: RealClock) -> None:
    await room.send("ann@a.example", "bob@b.example")
    keeper = keeper_in(room)
    async with running(keeper, *keeper.parts):
        leased = {lane.route: (lane, claims[0]) for lane, claims in await keeper.lease(10, 10)}
        later = clock.now() + timedelta(seconds=90)
        async with room.store.transaction() as tx:
            ann = leased["a.example"][1]
            await queue.put_back(tx, [queue.PutBack(ann.recipient_id, ann.attempt, later)])
            bob = leased["b.example"][1]
            await queue.finish(tx, [(bob.recipient_id, bob.attempt)])
        await asyncio.gather(*(keeper.release(GivenBack(lane.lane_id)) for lane, _ in leased.values()))
        assert keeper.held_count == 0
        async with room.store.transaction() as tx:
            rows = await tx.fetch("SELECT route, owner, next_due_at FROM lane ORDER BY route")
        assert [(row["route"], row["owner"]) for row in rows] == [("a.example", None), ("b.example", None)]
        assert rows[0]["next_due_at"] == later
        assert rows[1]["next_due_at"].year == 9999, "nothing waits: it sleeps"
        assert await keeper.lease(10, 10) == []
        clock.jump(91)
        assert [lane.route for lane, _ in await keeper.lease(10, 10)] == ["a.example"]


@pytest.mark.slow
async def test_a_lease_is_renewed_as_long_as_we_live(room: EngineRoom, clock: RealClock) -> None:
    await room.send("ann@a.example")
    keeper = keeper_in(room)
    async with running(keeper, *keeper.parts):
        ((lane, _),) = await keeper.lease(1, 1)
        clock.jump(room.settings.lease_s / 2)
        first = await lease_of(room, lane.lane_id)
        async with asyncio.timeout(10):
            while await lease_of(room, lane.lane_id) == first:
                await clock.sleep(0.01)
        clock.jump(room.settings.lease_s * 0.7)
        assert keeper.is_held(lane.lane_id)
        assert await keeper_in(room).lease(1, 1) == [], "past the first lease, within the second"


async def lease_of(room: EngineRoom, lane_id: int) -> object:
    async with room.store.transaction() as tx:
        row = await tx.fetch_row("SELECT lease_until FROM lane WHERE lane_id = $1", lane_id)
    assert row is not None
    return row["lease_until"]


async def test_a_lease_that_ran_out_is_no_longer_trusted(room: EngineRoom, clock: RealClock) -> None:
    """A process that was stopped for longer than its leases must not go on as if nothing had happened."""
    await room.send("ann@a.example")
    keeper = keeper_in(room)
    ((lane, _),) = await keeper.lease(1, 1)
    assert keeper.is_held(lane.lane_id)
    clock.jump(room.settings.lease_s + 1)
    assert not keeper.is_held(lane.lane_id)


@pytest.mark.parametrize("moves", ["jump", "step_wall"])
async def test_a_lane_that_we_are_at_is_not_leased_to_us_twice(room: EngineRoom, clock: RealClock, moves: str) -> None:
    await room.send("ann@a.example")
    keeper = keeper_in(room)
    ((lane, _),) = await keeper.lease(10, 10)
    getattr(clock, moves)(room.settings.lease_s + 1)
    assert await keeper.lease(10, 10) == []
    assert keeper.is_held(lane.lane_id) == (moves == "step_wall"), "by the clock that nobody steps"
    async with running(*keeper.parts):
        await keeper.release(GivenBack(lane.lane_id))
    ((anew, claims),) = await keeper.lease(10, 10)
    assert (anew.lane_id, anew.taken_over_at, len(claims)) == (lane.lane_id, None, 1)
    clock.jump(room.settings.lease_s + 1)
    assert [one.lane_id for one, _ in await keeper_in(room).lease(10, 10)] == [lane.lane_id], "others may have it"


@pytest.mark.slow
async def test_a_lane_that_was_taken_over_is_noticed_and_left_to_its_new_owner(
    room: EngineRoom, clock: RealClock
) -> None:
    await room.send("ann@a.example")
    old, new = keeper_in(room), keeper_in(room)
    ((lane, _),) = await old.lease(1, 1)
    clock.jump(room.settings.lease_s + 1)
    ((taken, _),) = await new.lease(1, 1)
    async with running(old, *old.parts):
        await turns()
        clock.jump(room.settings.lease_s / 2)  # It wakes and wants to renew.
        assert (taken.lane_id, taken.taken_over_at is not None) == (lane.lane_id, True)
        async with asyncio.timeout(10):
            while not room.journal.count("leases_lost"):
                await clock.sleep(0.01)
        assert old.held_count == 0
        before = await lease_of(room, lane.lane_id)
        await old.release(GivenBack(lane.lane_id))
        assert await lease_of(room, lane.lane_id) == before
        assert new.is_held(lane.lane_id)


async def test_the_lanes_of_a_dead_owner_are_due_at_once(room: EngineRoom, clock: RealClock) -> None:
    await room.send("ann@a.example", "bob@b.example")
    owner = uuid4()
    assert len(await keeper_in(room, owner=owner).lease(10, 10)) == 2
    survivor = keeper_in(room)
    assert await survivor.lease(10, 10) == []
    assert await lanes.abandon(room.store, owner, clock=clock) == 2
    clock.jump(0.001)
    assert all(lane.taken_over_at for lane, _ in await survivor.lease(10, 10))


@pytest.mark.slow
async def test_while_the_database_is_away_nothing_is_lost(
    room: EngineRoom, clock: RealClock, database_url: str, tmp_path: Path
) -> None:
    await room.send("ann@a.example", "bob@b.example")
    async with Line(database_url, tmp_path) as line, Store(line.dsn, StoreSettings()) as store:
        keeper = keeper_in(room, store=store)
        async with running(keeper, *keeper.parts):
            (ann, _), (bob, _) = await keeper.lease(10, 10)
            await line.cut()
            await keeper.release(GivenBack(ann.lane_id))
            assert room.journal.count("lane_not_released") == 1
            clock.jump(room.settings.lease_s / 2)
            async with asyncio.timeout(10):
                while not room.journal.count("leases_not_renewed"):
                    await clock.sleep(0.01)
            assert keeper.is_held(bob.lane_id), "half a lease is left"
            assert await keeper_in(room).lease(10, 10) == []
            await line.mend()
            await keeper.release(GivenBack(bob.lane_id))
            found: list[Lane] = []
            async with asyncio.timeout(10):
                while len(found) < 2:
                    found += [lane for lane, _ in await keeper_in(room).lease(10, 10)]
                    await clock.sleep(0.01)
    assert {lane.lane_id for lane in found} == {ann.lane_id, bob.lane_id}
    assert not any(lane.taken_over_at for lane in found), "both were given back, long before their leases ended"
