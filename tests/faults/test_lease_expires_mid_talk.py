"""Fault: a process stops for longer than its leases in the middle of a conversation, and then goes on.

A suspended machine, a debugger, a database it could not reach: by the time it wakes, another owner has its lane. It
must not start anything more in it, and what it learns from the conversation that was under way must not overwrite
what the new owner wrote. The mail may have been delivered twice: the new owner's event says so.
"""

import asyncio
from collections import Counter

import pytest

from outrider.base.vocab import EventKind
from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import EngineRoom, OneWay, running
from outrider.testing.peer import Act, Move, Peer, Script, Stage

pytestmark = pytest.mark.slow


class Stopped(RealClock):
    """The clock of a process that is stopped, as by SIGSTOP: whoever sleeps by it sleeps until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s)
        await self.goes_on.wait()


async def test_the_new_owner_has_the_last_word(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock, lane_in_flight_max=2, settle_wait_s=0.0)
    stopped = Stopped()
    stopped.goes_on.set()
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as slow, Peer() as quick, running(room.accept):
        session = await room.send(*(f"u{n}@a.example" for n in range(12)))
        async with running(room.deliverer(OneWay(slow.site()), clock=stopped)):
            await slow.reached(Stage.DOT, count=2)
            stopped.goes_on.clear()
            for each in (stopped, clock):  # It sleeps while time goes on for everybody.
                each.jump(room.settings.lease_s + 1)
            async with running(room.deliverer(OneWay(quick.site()))):
                found = await room.until_settled(session)
                stopped.goes_on.set()
                slow.release()
        after = await room.recipients(session)
        events = await room.events(session)
    assert after == found
    assert {(one.status.value, one.attempt) for one in found.values()} == {("delivered", 1)}
    assert len(quick.received) == 12
    assert len(slow.received) == 2, "only what was on its way is sent twice"
    assert [event.kind for event in events] == [EventKind.ACCEPTED] + [EventKind.DELIVERED] * 12
    assert all(event.facts["taken_over"] for event in events[1:])
    assert room.sample("outrider_settle_lost_total") == 2
    assert room.sample("outrider_settled_attempts_total", fate="delivered") == 12


async def test_as_long_as_it_renews_in_time_nobody_takes_it(store: Store, clock: RealClock) -> None:
    room = EngineRoom(store, clock)
    async with Peer(Script(moves={Stage.DOT: Move(Act.HOLD)})) as slow, Peer() as quick, running(room.accept):
        session = await room.send("ann@a.example")
        async with running(room.deliverer(OneWay(slow.site()))):
            await slow.reached(Stage.DOT)
            before = await lease_of(store)
            clock.jump(room.settings.lease_s * 0.9)
            while await lease_of(store) == before:
                await clock.sleep(0.01)
            clock.jump(room.settings.lease_s * 0.5)
            async with running(room.deliverer(OneWay(quick.site()))):
                slow.release()
                found = await room.until_settled(session)
        (_, event) = await room.events(session)
    assert found["ann@a.example"].attempt == 1
    assert "taken_over" not in event.facts
    assert Counter(one.recipients for one in quick.received + slow.received) == {("ann@a.example",): 1}
    assert room.sample("outrider_settle_lost_total") == 0


async def lease_of(store: Store) -> object:
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT lease_until FROM lane WHERE owner IS NOT NULL")
    assert row is not None
    return row["lease_until"]
