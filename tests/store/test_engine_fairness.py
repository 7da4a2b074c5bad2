"""Whose mail goes first when all wait for the same connections: told from the order in which it arrives at the peer.

On one version of PostgreSQL: what is asked of it is asked of both in the tests of the single stations.
"""

import asyncio
from uuid import UUID

import pytest

from outrider.base.vocab import Stream
from outrider.config import Config
from outrider.knowledge import make_shaping
from outrider.policy.settings import Override, ShapingSettings
from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, EngineRoom, OneWay, running, submission
from outrider.testing.peer import Act, Move, Peer, Script, Stage

pytestmark = [pytest.mark.slow, pytest.mark.newest]
PER_CALL = 100


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
def room(room: EngineRoom) -> EngineRoom:
    """A room whose mail all goes over four connections of one gate."""
    room.shaping = make_shaping(Config(shaping=ShapingSettings(providers={"default": Override(connections=4)})))
    return room


async def accept(
    room: EngineRoom,
    name: str,
    count: int,
    route_count: int,
    project_id: UUID = PROJECT,
    stream: Stream = Stream.TRANSACTIONAL,
) -> None:
    """Accept `count` mails to as many addresses `NAME-N@...` over `route_count` routes."""
    to = [f"{name}-{n}@{name}{n % route_count}.example" for n in range(count)]
    for start in range(0, count, PER_CALL):
        await room.accept(project_id, submission(*to[start : start + PER_CALL], stream=stream))


async def until_arrived(peer: Peer, count: int, wait_s: float = 30.0) -> list[str]:
    """Return the names in the order of their arrival when there are `count`."""
    async with asyncio.timeout(wait_s):
        while len(peer.received) < count:
            await RealClock().sleep(0.005)
    return [mail.recipients[0].partition("-")[0] for mail in peer.received]


def share_before_last(order: list[str], name: str) -> float:
    """Return which share of the others' mail arrived before the last of `name`."""
    last_at = len(order) - 1 - order[::-1].index(name)
    others = [at for at, one in enumerate(order) if one != name]
    return sum(at < last_at for at in others) / len(others)


async def test_a_small_project_does_not_wait_for_a_large_one(room: EngineRoom, peer: Peer) -> None:
    await accept(room, "large", 2000, 50)
    await accept(room, "small", 100, 1, OTHER_PROJECT)
    async with running(room.deliverer(OneWay(peer.site()))):
        order = await until_arrived(peer, 2100)
    assert share_before_last(order, "small") < 0.3


async def test_a_small_project_that_comes_later_does_not_wait_either(room: EngineRoom, peer: Peer) -> None:
    await accept(room, "large", 1000, 50)
    async with running(room.deliverer(OneWay(peer.site()))):
        await until_arrived(peer, 200)
        await accept(room, "small", 100, 10, OTHER_PROJECT)
        order = await until_arrived(peer, 1100)
    assert share_before_last(order, "small") < 0.5


async def test_transactional_mail_comes_before_a_campaign(room: EngineRoom, peer: Peer) -> None:
    await accept(room, "campaign", 800, 50, stream=Stream.MARKETING)
    async with running(room.deliverer(OneWay(peer.site()))):
        await until_arrived(peer, 100)
        started = len(peer.received)
        await accept(room, "order", 50, 10)
        order = await until_arrived(peer, 850)
    last_at = len(order) - 1 - order[::-1].index("order")
    between = order[started:last_at].count("campaign")
    assert between < 200, f"{between} of the campaign went first"


async def test_slow_marketing_cannot_take_the_places_of_transactional_mail(
    store: Store, clock: RealClock, peer: Peer
) -> None:
    room = EngineRoom(store, clock, in_flight_max=8)
    async with (
        running(room.accept),
        Peer(Script(moves={Stage.DOT: Move(Act.HOLD)}), address="127.0.0.9") as slow,
    ):
        way = OneWay(peer.site(), **{f"slow{n}": slow.site(host="mx.slow.example") for n in range(4)})
        async with running(room.deliverer(way)):
            await accept(room, "slow", 40, 4, stream=Stream.MARKETING)
            await slow.reached(Stage.DOT, count=6)
            await accept(room, "campaign", 20, 2, stream=Stream.MARKETING)
            await accept(room, "order", 20, 2)
            order = await until_arrived(peer, 20, 5.0)
            assert order == ["order"] * 20
            assert slow.open_count == 6
            slow.release()
            slow.script = Script()
            await until_arrived(peer, 40)
