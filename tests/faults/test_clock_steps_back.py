"""Fault: the wall clock is set back while mail is on its way: NTP at boot, an administrator, a virtual machine.

What is accepted after the step leaves at once. What waits waits at most as much longer as the step was, and is not
lost. Durations and time-outs do not notice: they are measured on the other clock. History tells what the clock said.
"""

import asyncio

import pytest

from outrider.base.vocab import EventKind
from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import EngineRoom, OneWay, running
from outrider.testing.peer import Act, Move, Peer, Script, Stage

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("step_s", [-2.0, -3600.0, -23 * 3600.0])
async def test_what_comes_after_the_step_leaves_at_once(store: Store, clock: RealClock, step_s: float) -> None:
    room = EngineRoom(store, clock, poll_s=10.0)
    async with Peer() as peer, running(room.accept, room.deliverer(OneWay(peer.site()))):
        await room.until_settled(await room.send("ann@a.example"))
        clock.step_wall(step_s)
        started_s = clock.monotonic_s()
        for to in ("bob@a.example", "cat@new.example"):
            found = await room.until_settled(await room.send(to))
            assert {(one.status.value, one.attempt) for one in found.values()} == {("delivered", 1)}
        assert clock.monotonic_s() - started_s < 5
    assert len(peer.received) == 3


async def test_a_conversation_under_way_does_not_notice(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock)
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as peer, running(room.accept):
        async with running(room.deliverer(OneWay(peer.site()))):
            session = await room.send("ann@a.example")
            await peer.reached(Stage.DOT)
            clock.step_wall(-3600)
            peer.release()
            found = await room.until_settled(session)
        delivered, accepted = await room.events(session)  # As the clock has it.
    assert (found["ann@a.example"].status, found["ann@a.example"].attempt) == ("delivered", 1)
    assert (accepted.kind, delivered.kind) == (EventKind.ACCEPTED, EventKind.DELIVERED)
    assert 3500 < (accepted.at - delivered.at).total_seconds() < 3601
    assert 0 <= int(delivered.facts["duration_ms"]) < 10_000
    assert room.sample("outrider_delivery_seconds_sum") == 0


async def test_what_waits_is_tried_when_its_instant_comes_again(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock)
    script = Script(moves={Stage.RCPT: Move(Act.SAY, b"451 4.3.0 later\r\n", times_max=1)})
    async with Peer(script) as peer, running(room.accept, room.deliverer(OneWay(peer.site()), first_s=100.0)):
        session = await room.send("ann@a.example")
        before = (await room.until_tried(session))["ann@a.example"]
        clock.step_wall(-600)
        other = await room.send("bob@b.example")
        await room.until_settled(other)
        assert (await room.recipients(session))["ann@a.example"] == before
        clock.step_wall(600)
        clock.jump(120)
        found = await room.until_settled(session)
    assert (found["ann@a.example"].status, found["ann@a.example"].attempt) == ("delivered", 2)
    assert len(peer.received) == 2


async def test_the_lanes_stay_ours_and_are_given_back(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock)
    async with Peer(Script(moves={Stage.MAIL: Move(Act.HOLD)})) as peer, running(room.accept):
        async with running(room.deliverer(OneWay(peer.site()))):
            session = await room.send("ann@a.example", "bob@b.example")
            await peer.reached(Stage.MAIL, count=2)
            before = await leases(store)
            clock.step_wall(-3600)
            clock.jump(room.settings.lease_s / 2)  # Time to renew, on a wall clock that is an hour behind.
            async with asyncio.timeout(10):
                while set(await leases(store)) & set(before):
                    await clock.sleep(0.01)
            peer.release()
            found = await room.until_settled(session)
        assert {(one.status.value, one.attempt) for one in found.values()} == {("delivered", 1)}
    assert await leases(store) == [None, None]
    assert room.journal.count("leases_lost") == 0


async def leases(store: Store) -> list[object]:
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT owner, lease_until FROM lane")
    return [row["lease_until"] if row["owner"] else None for row in rows]
