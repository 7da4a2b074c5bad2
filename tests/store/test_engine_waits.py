"""A lane that must wait while a mail of it is under way: the rest goes as soon as it may, and says until then why not.

In each test one conversation is silent after the dot until the test lets it go on.
"""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.vocab import HoldScope, WaitKind
from outrider.config import Config
from outrider.engine.control import Control, Target
from outrider.engine.explain import Explainer
from outrider.engine.waits import LaneWaits
from outrider.knowledge import make_shaping
from outrider.policy.settings import Override, ShapingSettings
from outrider.policy.throttle import Ceiling
from outrider.store import holds, lanes
from outrider.store.holds import Hold
from outrider.store.lanes import Pause
from outrider.store.pool import Store
from outrider.testing.clock import RealClock, until
from outrider.testing.engineroom import DOMAIN, PROJECT, EngineRoom, OneWay, running
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.testing.queueroom import QueueRoom

pytestmark = [pytest.mark.slow, pytest.mark.newest]
MANY = [f"u{n}@a.example" for n in range(20)]


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def control(store: Store, clock: RealClock) -> Control:
    return Control(store, clock=clock, random_bits=random.Random(1).getrandbits)


@pytest.fixture
async def slow(room: EngineRoom, peer: Peer) -> AsyncIterator[Peer]:
    """A server that keeps the first mail of a lane for as long as the test lasts; no more than two connections."""
    limits = Override(connections=2, rates="120/min")
    room.shaping = make_shaping(Config(shaping=ShapingSettings(providers={"default": limits})))
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD, times_max=1)})
    yield peer
    peer.release()


async def lane(room: EngineRoom) -> dict[str, Any]:
    async with room.store.transaction() as tx:
        (row,) = await tx.fetch("SELECT lane_id, owner, pause_kind, paused_until, pause_reason FROM lane")
    return dict(row)


async def until_told(room: EngineRoom, kind: WaitKind) -> dict[str, Any]:
    """Return the lane once it says so; it is leased all the time."""
    while (row := await lane(room))["pause_kind"] != kind:
        assert row["owner"] is not None
        await room.clock.sleep(0.02)
    assert row["owner"] is not None
    return row


def got(peer: Peer) -> list[str]:
    return sorted(one.recipients[0] for one in peer.received)


async def begin(room: EngineRoom, peer: Peer) -> UUID:
    """Send the mail that is kept, and then many more to the same domain."""
    await room.send("slow@a.example")
    await peer.reached(Stage.DOT)
    return await room.send(*MANY)


async def test_a_rate_lets_the_others_go_at_its_pace(room: EngineRoom, slow: Peer) -> None:
    async with running(room.deliverer(OneWay(slow.site()), data_end_wait_s=600.0)):
        session = await begin(room, slow)
        await until(lambda: len(slow.received) >= len(MANY))
        assert got(slow) == sorted(MANY)
        await room.until_settled(session)
        slow.release()
        await until(lambda: len(slow.received) > len(MANY))
    assert got(slow) == sorted([*MANY, "slow@a.example"]), "each once"


async def test_a_connection_that_comes_free_is_used(room: EngineRoom, peer: Peer) -> None:
    """The server takes longer for a mail than a lane waits in a line; the next begins when one has ended."""
    limits = Override(connections=2)
    room.shaping = make_shaping(Config(shaping=ShapingSettings(providers={"default": limits})))
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD, times_max=2)})
    async with running(room.deliverer(OneWay(peer.site()), data_end_wait_s=600.0)):
        await room.send("slow@a.example", "late@a.example")
        await peer.reached(Stage.DOT, count=2)
        await room.send(*MANY)
        await until_told(room, WaitKind.CONNECTIONS)
        peer.hang_up()
        await until(lambda: len(peer.received) >= len(MANY))
    assert set(MANY) <= set(got(peer))


async def test_what_it_waits_for_is_said_and_a_flush_ends_it(
    room: EngineRoom, slow: Peer, clock: RealClock, control: Control
) -> None:
    await QueueRoom(room.store, clock).node()
    room.bounds.ceilings["default", "default"] = Ceiling(clock.now().toordinal(), 1)
    async with running(room.deliverer(OneWay(slow.site()), data_end_wait_s=600.0)):
        session = await begin(room, slow)
        told = await until_told(room, WaitKind.WARMUP)
        assert told["paused_until"] > clock.now() + timedelta(minutes=1)
        (why,) = await Explainer(room.store, clock=clock).why(str(session), project_id=PROJECT)
        assert [(line.count, line.state) for line in why.lines] == [(len(MANY), "wait")]
        assert told["pause_reason"] in why.lines[0].text
        room.bounds.ceilings.clear()
        await control.flush(Target.lane(told["lane_id"]))
        await room.until_settled(session)
        assert got(slow) == sorted(MANY), "the slow one is under way yet"


async def test_the_end_of_what_it_waits_for_is_heard(room: EngineRoom, slow: Peer, clock: RealClock) -> None:
    """A sending domain's new rate, for example: who sets it ends the pauses of its lanes."""
    room.bounds.ceilings["default", "default"] = Ceiling(clock.now().toordinal(), 1)
    async with running(room.deliverer(OneWay(slow.site()), data_end_wait_s=600.0)):
        session = await begin(room, slow)
        await until_told(room, WaitKind.WARMUP)
        room.bounds.ceilings.clear()
        async with room.store.transaction() as tx:
            assert await lanes.end_pauses(tx, PROJECT, DOMAIN, WaitKind.WARMUP, now=clock.now()) == 1
        await room.until_settled(session)


async def test_a_hold_that_is_lifted_lets_the_others_go(room: EngineRoom, slow: Peer, control: Control) -> None:
    async with running(room.deliverer(OneWay(slow.site()), data_end_wait_s=600.0)):
        await room.send("slow@a.example")
        await slow.reached(Stage.DOT)
        target = Target.lane((await lane(room))["lane_id"])
        await control.pause(target)
        await room.clock.sleep(1.0)  # By then it is known everywhere.
        session = await room.send(*MANY)
        await room.clock.sleep(0.5)
        assert got(slow) == []
        await control.resume(target)
        await room.until_settled(session)


async def test_what_was_left_of_a_held_session_is_read_past(room: EngineRoom, peer: Peer, clock: RealClock) -> None:
    """As a process that died half way through a pause leaves it, at the head of the lane."""
    held = [f"h{n}@a.example" for n in range(100)]
    session = await room.send(*held)
    async with room.store.transaction() as tx:
        await holds.put(tx, Hold(UUID(int=7), HoldScope.SESSION, str(session), "stop", clock.now()))
    await room.send(*MANY)
    asked: list[str] = []

    async def note(route: str) -> None:  # A lane asks for its way whenever it has claimed something.
        asked.append(route)

    router = OneWay(peer.site())
    router.before = note
    async with running(room.deliverer(router)):
        await until(lambda: len(peer.received) == len(MANY))
        asked.clear()
        await clock.sleep(2.5)
        assert len(asked) < 10, "it does not spin"
        (why,) = await Explainer(room.store, clock=clock).why(str(session), project_id=PROJECT)
        assert "stop" in why.lines[0].text
        async with room.store.transaction() as tx:
            await holds.remove(tx, UUID(int=7))
        await room.until_settled(session)
    assert got(peer) == sorted([*MANY, *held]), "each once"


async def test_a_wait_is_told_once_and_taken_back(store: Store, clock: RealClock, room: EngineRoom) -> None:
    queueroom, owner = await QueueRoom(store, clock).open(), UUID(int=9)
    lane_id = await queueroom.lane()
    await queueroom.lease(lane_id, owner)
    pause = Pause(clock.now() + timedelta(hours=1), WaitKind.RATE, "slowly")
    waits = LaneWaits(store, owner, clock=clock, logger=room.journal.logger)
    async with running(waits):
        for said in (pause, None, pause):
            waits.begin(lane_id, pause) if said else waits.end(lane_id)
            while (await queueroom.lane_row(lane_id))["paused_until"] != (said and said.until):
                await clock.sleep(0.02)
        assert not waits.has_ended(lane_id)
        waits.forget(lane_id)
        await clock.sleep(1.2)
        assert (await queueroom.lane_row(lane_id))["pause_reason"] == "slowly", "who gives it back says what it says"
