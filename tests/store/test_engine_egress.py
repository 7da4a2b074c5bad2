"""Ways out: sources, pools and limits, with real mail from several addresses of this machine to a peer that counts.

On one version of PostgreSQL: what is asked of it is asked of both in the tests of the single stations.
"""

import asyncio
import socket
from collections import Counter
from typing import Any

import msgspec
import pytest

from outrider.base.vocab import RecipientStatus, Stream, WaitKind
from outrider.config import Config
from outrider.engine.explain import Explainer
from outrider.knowledge import make_shaping
from outrider.policy.route import Source, make_egress
from outrider.policy.settings import EgressSettings, Override, ShapingSettings
from outrider.services.egress import PoolChooser
from outrider.store import nodes
from outrider.store.nodes import Node
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import PROJECT, EngineRoom, OneWay, SameExit, running, submission
from outrider.testing.peer import Act, Move, Peer, Received, Script, Stage
from outrider.wire.smtp_client import Credentials, TlsMode

pytestmark = [pytest.mark.slow, pytest.mark.newest]
YAHOO = "mta5.am0.yahoodns.net"
RESTING = b"421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred due to unexpected volume\r\n"
FULL = b"421 Max message per connection reached, closing transmission channel\r\n"
PLENTY = {"default": {"connections": 200}}
ONE = {"address": "127.0.0.2", "ehlo_name": "one.example"}
TWO = {"address": "127.0.0.3", "ehlo_name": "two.example"}


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


def use(room: EngineRoom, *, limits: dict[str, Any] | None = None, **egress: Any) -> None:
    """Give the room these [egress] settings, and limits by provider."""
    room.egress = make_egress(msgspec.convert(egress, EgressSettings), Source("default"))
    changes = msgspec.convert(limits or {"default": {"connections": 40}}, dict[str, Override])
    room.shaping = make_shaping(Config(shaping=ShapingSettings(providers=changes)))


def many(count: int, route_count: int = 1) -> list[str]:
    return [f"u{n}@r{n % route_count}.example" for n in range(count)]


def most_within(mails: list[Received], window_s: float) -> int:
    """Return the most mails in any window of that length."""
    at = sorted(mail.at_s for mail in mails)
    return max(sum(start <= one < start + window_s for one in at) for start in at)


async def test_two_sources_share_by_weight_under_their_own_names(room: EngineRoom, peer: Peer) -> None:
    use(room, sources={"one": ONE, "two": TWO}, pools={"default": {"one": {"weight": 3}, "two": {}}}, limits=PLENTY)
    async with running(room.deliverer(OneWay(peer.site()))):
        session = await room.send(*many(100, 10))
        await room.until_settled(session)
    assert {(mail.client, mail.hello) for mail in peer.received} == {
        ("127.0.0.2", "one.example"),
        ("127.0.0.3", "two.example"),
    }
    assert 60 <= sum(mail.client == "127.0.0.2" for mail in peer.received) <= 90
    told = Counter(event.facts["source"] for event in await room.events(session) if "source" in event.facts)
    assert told["one"] == sum(mail.client == "127.0.0.2" for mail in peer.received)
    async with room.store.transaction() as tx:
        rows = await tx.fetch("SELECT source, sum(delivered) AS count FROM egress_day GROUP BY source")
    assert {row["source"]: row["count"] for row in rows} == told


async def test_simulated_mail_counts_in_nobodys_figures(room: EngineRoom, peer: Peer) -> None:
    site = msgspec.structs.replace(peer.site(), provider="gmail", is_simulated=True)
    async with running(room.deliverer(OneWay(site))):
        await room.until_settled(await room.send())
    assert len(peer.received) == 1
    async with room.store.transaction() as tx:
        assert await tx.fetch("SELECT FROM egress_day") == []


async def test_mail_leaves_from_an_ipv6_address(room: EngineRoom) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    use(room, sources={"six": {"address": "::1"}}, pools={"default": {"six": {}}})
    async with Peer(address="::1") as peer, running(room.deliverer(OneWay(peer.site()))):
        await room.until_settled(await room.send())
        assert [mail.client for mail in peer.received] == ["::1"]


async def test_the_stream_picks_the_pool_and_one_served_elsewhere_is_left_alone(room: EngineRoom, peer: Peer) -> None:
    use(
        room,
        sources={"one": ONE, "two": TWO},
        pools={"default": {"one": {}}, "away": {}},
        assign=[{"pool": "away", "stream": "marketing"}],
    )
    room.pools = PoolChooser(room.store, room.egress, clock=room.clock)
    async with room.store.transaction() as tx:
        now = room.clock.now()
        here = Node(PROJECT, "here", room.egress.pools_served, ("127.0.0.2",), now, now)
        await nodes.claim(tx, here, alive_since=now)
    acceptor = room.acceptor()
    async with running(acceptor), running(room.deliverer(OneWay(peer.site()))):
        newsletter = await acceptor(PROJECT, submission("bob@b.example", stream=Stream.MARKETING))
        order = await acceptor(PROJECT, submission("ann@a.example"))
        assert order.session_id is not None
        assert newsletter.session_id is not None
        await room.until_settled(order.session_id)
        (waiting,) = (await room.recipients(newsletter.session_id)).values()
        assert (waiting.status, waiting.attempt) == (RecipientStatus.QUEUED, 0)
        (told,) = await Explainer(room.store, clock=room.clock).why("bob@b.example", project_id=PROJECT)
    assert [mail.client for mail in peer.received] == ["127.0.0.2"]
    assert "nobody serves pool away" in told.lines[0].text


async def test_a_smart_host_takes_over_from_a_source_that_rests(room: EngineRoom, peer: Peer) -> None:
    use(
        room,
        sources={"one": ONE, "relay": {"smarthost": "smarthost://relay.example:587"}},
        pools={"default": {"one": {}, "relay": {"use": "failover"}}},
    )
    peer.script = Script(moves={Stage.MAIL: Move(Act.SAY, RESTING)})
    async with Peer(Script(mechanisms=("PLAIN",))) as relay:
        credentials = Credentials("us", "secret", may_go_plain=True)
        way = relay.site(tls=TlsMode.NEVER, credentials=credentials, host="relay.example")
        room.exits = SameExit(relay=msgspec.structs.replace(way, provider="smarthost"))
        async with running(room.deliverer(OneWay(peer.site(host=YAHOO)))):
            await room.until_tried(await room.send())
            sessions = [await room.send("bob@b.example"), await room.send("bob@a.example")]
            for session in sessions:
                await room.until_settled(session)
    # The two mails may have a connection each.
    assert sum(command.startswith("AUTH ") for command in relay.commands) == relay.connection_count > 0
    assert (peer.received, peer.connection_count) == ([], 1), "it was not left in peace"
    assert len(relay.received) == 2
    assert [event.facts.get("source") for event in await room.events(sessions[0])] == [None, "relay"]


async def test_two_processes_together_keep_the_limit_of_connections(room: EngineRoom, peer: Peer) -> None:
    limits = {"yahoo": {"connections": 3, "messages_per_connection": 4}}
    use(room, sources={"one": ONE, "two": TWO}, pools={"default": {"one": {}, "two": {}}}, limits=limits)
    way = OneWay(peer.site(host=YAHOO))
    async with running(*(room.deliverer(way, slot_count=2) for _ in range(2))):
        sessions = [await room.send(*many(60, 12)) for _ in range(5)]  # A process has its turn after a moment.
        for session in sessions:
            await room.until_settled(session)
    assert len(peer.received) == 300
    assert peer.open_max == {"127.0.0.2": 3, "127.0.0.3": 3}
    assert peer.connection_count >= 300 / 4
    assert all(pool.stats.dialled_count for pool in room.connections), "one process did all"


async def test_two_processes_together_keep_a_hard_rate(room: EngineRoom, peer: Peer) -> None:
    use(room, sources={"one": ONE}, pools={"default": {"one": {}}}, limits={"yahoo": {"rates": "10/s"}})
    way = OneWay(peer.site(host=YAHOO))
    async with running(*(room.deliverer(way, slot_count=2) for _ in range(2))):
        session = await room.send(*many(30, 6))
        async with asyncio.timeout(10):
            await room.until_settled(session)
    assert most_within(peer.received, 1.0) <= 10
    took_s = peer.received[-1].at_s - peer.received[0].at_s
    assert took_s < 29 / 9 * 1.5, "what may go must go"


async def test_a_stop_gives_every_connection_back(room: EngineRoom, peer: Peer) -> None:
    use(room, sources={"one": ONE}, pools={"default": {"one": {}}}, limits={"yahoo": {"connections": 3}})
    peer.script = Script(moves={Stage.DATA: Move(Act.HOLD)})
    with room.ledger:
        async with running(room.deliverer(OneWay(peer.site(host=YAHOO)))):
            session = await room.send(*many(30, 10))
            await peer.reached(Stage.DATA, count=3)
            assert sum(sum(gate.connections) for _, gate in room.ledger.entries()) == 3
        assert sum(sum(gate.connections) for _, gate in room.ledger.entries()) == 0
    assert {one.attempt for one in (await room.recipients(session)).values()} == {0}
    async with room.store.transaction() as tx:
        assert await tx.fetch("SELECT FROM lane WHERE paused_until IS NOT NULL OR owner IS NOT NULL") == []


async def test_a_reconnect_closes_what_is_idle(room: EngineRoom, peer: Peer) -> None:
    use(room, sources={"one": ONE}, pools={"default": {"one": {}}}, limits={"yahoo": {"connections": 5}})
    async with running(room.deliverer(OneWay(peer.site(host=YAHOO)))):
        await room.until_settled(await room.send(*many(30, 10)))
        assert peer.open_count > 1
        # One 421 on a used connection is nothing; a fresh one is asked.
        peer.script = Script(moves={Stage.MAIL: Move(Act.SAY, FULL, times_max=2)})
        await room.until_tried(await room.send())
        await peer.until_idle()
        await room.until_settled(await room.send("bob@b.example"))


async def test_a_lane_that_waits_says_why(room: EngineRoom, peer: Peer) -> None:
    use(room, sources={"one": ONE}, pools={"default": {"one": {}}}, limits={"yahoo": {"rates": "1/h"}})
    async with running(room.deliverer(OneWay(peer.site(host=YAHOO)))):
        session = await room.send("ann@a.example", "bob@a.example")
        await room.until(session, lambda one: one.attempt > 0 or one.address == "bob@a.example")
        async with asyncio.timeout(10):
            while not (rows := await _paused(room)):
                await room.clock.sleep(0.01)
    (row,) = rows
    assert (row["pause_kind"], row["provider"]) == (WaitKind.RATE, "yahoo")
    assert row["pause_reason"].startswith("yahoo: 1/h, next in ")
    assert row["paused_until"] > room.clock.now()


async def _paused(room: EngineRoom) -> Any:
    async with room.store.transaction() as tx:
        return await tx.fetch("SELECT * FROM lane WHERE paused_until IS NOT NULL AND owner IS NULL")
