"""Fault: several workers want the same lane at the same moment, again and again.

One of them gets it; the others do not wait and do not send. Each mail leaves once, and one that comes while the lane
is being given back is not forgotten.
"""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import EngineRoom, OneWay, running
from outrider.testing.peer import Peer

pytestmark = pytest.mark.slow

ROUNDS = 40


async def test_one_lane_and_three_workers_send_each_mail_once(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock, claim_count_max=3, lane_in_flight_max=3, poll_s=5.0)
    sessions: list[UUID] = []
    async with Peer() as peer, running(room.accept):
        workers = [room.deliverer(OneWay(peer.site()), store=store) for _ in range(3)]
        async with running(workers[0]), running(workers[1]), running(workers[2]):
            for round_ in range(ROUNDS):
                made = await asyncio.gather(*(room.send(f"u{round_}x{n}@a.example") for n in range(3)))
                sessions += made
                if round_ % 4 == 0:  # Now and then the lane runs dry, so that all three go for the next mail.
                    await room.until_settled(made[0])
            for session in sessions:
                found = await room.until_settled(session)
                assert {(one.status.value, one.attempt) for one in found.values()} == {("delivered", 1)}
        received = Counter(one.recipients[0] for one in peer.received)
    assert len(received) == ROUNDS * 3
    assert set(received.values()) == {1}
    assert room.sample("outrider_settle_lost_total") == 0
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT owner FROM lane")
    assert [row["owner"] for row in rows] == [None]


async def test_a_lane_that_is_wanted_by_many_is_leased_to_one(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock)
    async with Peer() as peer, running(room.accept):
        session = await room.send(*(f"u{n}@a.example" for n in range(50)))
        workers = [room.deliverer(OneWay(peer.site())) for _ in range(4)]
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.run())
            found = await room.until_settled(session)
            for worker in workers:
                worker.stop()
        assert {one.attempt for one in found.values()} == {1}
        assert len(peer.received) == 50
    assert not any(event.facts.get("taken_over") for event in await room.events(session))
