"""The pool over real sockets: reuse, slots, places, staleness, endings; and that each slot is given back exactly once.

Hosts, sources and TLS are in test_dialler.py. `pool_of` sees at the end of every test that no slot was lost, and
`FreeSlots` that none is given back twice.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from outrider.base.errors import LocalProtocolError
from outrider.base.vocab import Phase
from outrider.net.pool import Attempt, Bounds, ConnectionPool
from outrider.net.site import Host, Site, Way
from outrider.testing.clock import FakeClock
from outrider.testing.delivery import BOUNDS, MAIL, TO, WAY, is_delivered, pool_of, reserve, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.testing.slots import FreeSlots
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import Envelope, Features, TlsMode

GATE = (WAY.source, BOUNDS.key)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


class Queue:
    """Sends as an engine does: whoever gets no connection waits to be told of one."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.told: Counter[tuple[str, str]] = Counter()
        self._pool = pool
        self._news = asyncio.Event()
        pool.on_free = self._on_free

    async def send(self, site: Site, envelope: Envelope = MAIL, *, bounds: Bounds = BOUNDS) -> Attempt:
        async with asyncio.timeout(10):
            while (reservation := self._pool.reserve(site, WAY, bounds)) is None:
                await self._news.wait()
        return await self._pool.deliver(reservation, lambda _: envelope, envelope.recipients)

    async def send_many(self, site: Site, count: int, *, bounds: Bounds = BOUNDS) -> Sequence[Attempt]:
        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(self.send(site, bounds=bounds)) for _ in range(count)]
        return [one.result() for one in sent]

    def _on_free(self, source: str, key: str) -> None:
        self.told[source, key] += 1
        news, self._news = self._news, asyncio.Event()
        news.set()


def site_called(name: str, peer: Peer) -> Site:
    return Site(name, (Host(f"{name}.example", (peer.address,)),), peer.port)


def bounded(count: int, key: str = BOUNDS.key) -> Bounds:
    return Bounds(key, count)


async def until_open(pool: ConnectionPool, count: int) -> None:
    async with asyncio.timeout(5):
        while pool.stats.open_count > count:
            await asyncio.sleep(0)


# Reuse and bounds.


async def test_a_connection_is_reused(peer: Peer) -> None:
    async with pool_of() as pool:
        for _ in range(3):
            attempt = await send(pool, peer.site(), MAIL)
            assert is_delivered(attempt)
            assert (attempt.host, attempt.ip, attempt.tls) == ("mx.peer.example", "127.0.0.1", "")
        stats = pool.stats
    assert (stats.open_count, stats.idle_count, stats.dialled_count, stats.reused_count) == (1, 1, 1, 2)
    assert peer.connection_count == 1
    assert peer.commands[-1] == "QUIT"


async def test_the_most_recently_used_connection_is_reused(peer: Peer) -> None:
    async with pool_of() as pool:
        await Queue(pool).send_many(peer.site(), 3, bounds=bounded(4))
        for _ in range(3):
            await send(pool, peer.site(), MAIL, bounds=bounded(4))  # Wears out one connection, not a third of each.
        assert pool.stats.reused_count == 3
        await send(pool, peer.site(), MAIL, bounds=bounded(4))
        assert peer.connection_count == 3
    assert peer.commands.count("QUIT") == 3


async def test_what_is_busy_cannot_be_reserved_and_who_waits_is_told(peer: Peer) -> None:
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    slots = FreeSlots(2)
    async with pool_of(slots=slots) as pool, asyncio.TaskGroup() as group:
        queue = Queue(pool)
        sent = [group.create_task(queue.send(peer.site())) for _ in range(6)]
        await peer.reached(Stage.DOT, count=2)
        assert pool.reserve(peer.site(), WAY, BOUNDS) is None
        assert peer.connection_count == pool.stats.open_count == 2
        assert queue.told[GATE] == 0
        peer.release()
        assert all([is_delivered(await one) for one in sent])
        assert queue.told[GATE] == 6
    assert peer.connection_count == slots.most[GATE] == 2


async def test_a_reservation_that_is_dropped_frees_what_it_held(peer: Peer) -> None:
    slots = FreeSlots(1)
    async with pool_of(slots=slots) as pool:
        queue = Queue(pool)
        for is_idle in (False, True):
            reservation = reserve(pool, peer.site())
            assert pool.reserve(peer.site(), WAY, BOUNDS) is None
            pool.drop(reservation)
            pool.drop(reservation)
            assert queue.told.pop(GATE) == 1
            assert slots.taken[GATE] == pool.stats.idle_count == int(is_idle)
            await send(pool, peer.site(), MAIL)
            queue.told.clear()
    assert peer.connection_count == 1


async def test_an_envelope_is_made_when_the_server_is_known(peer: Peer) -> None:
    seen: list[Features] = []

    def make(features: Features) -> Envelope:
        seen.append(features)
        return MAIL

    async with pool_of() as pool:
        await pool.deliver(reserve(pool, peer.site()), make, (TO,))
        assert seen[0].has_8bitmime
        assert seen[0].size_bytes_max == 52428800
        peer.script = Script(features=("PIPELINING",), moves={Stage.MAIL: Move(Act.DROP, times_max=1)})
        await pool.deliver(reserve(pool, peer.site()), make, (TO,))  # For the dead one, and for its successor.
        assert [features.has_8bitmime for features in seen] == [True, True, False]


async def test_an_envelope_that_cannot_be_made_harms_no_connection(peer: Peer) -> None:
    def fail(_: Features) -> Envelope:
        raise ValueError("no key")

    async with pool_of() as pool:
        for _ in range(2):
            with pytest.raises(ValueError, match="no key"):
                await pool.deliver(reserve(pool, peer.site()), fail, (TO,))
            assert is_delivered(await send(pool, peer.site(), MAIL))
        assert peer.connection_count == 1


# Slots and places.


async def test_each_source_has_connections_of_its_own(peer: Peer) -> None:
    slots = FreeSlots()
    async with pool_of(slots=slots) as pool:
        for source in ("a", "b", "a"):
            await send(pool, peer.site(), MAIL, way=Way(source))
        assert (pool.stats.dialled_count, pool.stats.reused_count) == (2, 1)
        assert slots.taken == Counter({("a", BOUNDS.key): 1, ("b", BOUNDS.key): 1})


async def test_an_idle_connection_to_another_site_of_the_gate_makes_room(peer: Peer) -> None:
    slots = FreeSlots(2)
    async with pool_of(slots=slots) as pool:
        for name in ("one", "two", "three", "one"):
            assert is_delivered(await send(pool, site_called(name, peer), MAIL))
            assert peer.open_count <= 2
        assert pool.stats.idle_count == 2
        pool.drop(reserve(pool, site_called("four", peer), way=Way("other")))  # Of another gate.
    assert peer.commands.count("QUIT") == 4
    assert peer.connection_count == 4
    assert slots.most[GATE] == 2


async def test_a_busy_connection_to_another_site_makes_no_room(peer: Peer) -> None:
    async with pool_of(slots=FreeSlots(1)) as pool:
        await send(pool, site_called("one", peer), MAIL)
        busy = reserve(pool, site_called("one", peer))
        assert pool.reserve(site_called("two", peer), WAY, BOUNDS) is None
        pool.drop(busy)
        pool.drop(reserve(pool, site_called("two", peer)))


async def test_a_connection_that_is_to_yield_takes_leave_and_its_slot_is_told_of(peer: Peer) -> None:
    slots = FreeSlots(1)
    async with pool_of(slots=slots) as pool:
        queue = Queue(pool)
        slots.yielding.add(GATE)
        await send(pool, peer.site(), MAIL)
        assert pool.stats.idle_count == 0
        assert queue.told[GATE] == 0
        await until_open(pool, 0)
        assert queue.told[GATE] == 1
        assert slots.taken[GATE] == 0


async def test_a_bound_that_was_lowered_wears_out_what_rests(peer: Peer) -> None:
    async with pool_of(slots=FreeSlots(1)) as pool:
        for _ in range(2):
            await send(pool, peer.site(), MAIL)
        assert is_delivered(await send(pool, peer.site(), MAIL, bounds=bounded(2)))
        assert pool.stats.dialled_count == 2


@pytest.mark.slow
async def test_a_thousand_sites_keep_no_more_sockets_than_allowed(peer: Peer) -> None:
    slots = FreeSlots(2)
    async with pool_of(slots=slots, connections_max=50) as pool:
        queue = Queue(pool)

        async def send_some(numbers: range) -> None:
            for number in numbers:
                site = site_called(f"site{number}", peer)
                assert is_delivered(await queue.send(site, bounds=Bounds(site.name, 100)))
                assert pool.stats.open_count <= 50
                assert peer.open_count <= 50

        async with asyncio.TaskGroup() as group:
            for first in range(60):
                group.create_task(send_some(range(first, 1000, 60)))
        assert 40 <= pool.stats.idle_count <= 50
        assert slots.taken.total() == pool.stats.open_count


async def test_when_all_places_are_busy_who_was_refused_first_is_told(peer: Peer) -> None:
    first, second = Bounds("first", 100), Bounds("second", 100)
    async with pool_of(connections_max=1) as pool:
        queue = Queue(pool)
        busy = reserve(pool, peer.site())
        assert pool.reserve(site_called("one", peer), WAY, first) is None
        assert pool.reserve(site_called("two", peer), WAY, second) is None
        pool.drop(busy)
        assert queue.told == Counter({(WAY.source, "first"): 1, GATE: 1})
        assert is_delivered(await send(pool, site_called("two", peer), MAIL, bounds=second))
        await send(pool, site_called("one", peer), MAIL, bounds=first)  # The idle one makes room.
        assert peer.open_count == 1


async def test_a_connection_that_does_not_answer_quit_is_not_waited_for_long(peer: Peer) -> None:
    async with pool_of(slots=FreeSlots(1)) as pool:
        await send(pool, site_called("one", peer), MAIL)
        peer.script = Script(moves={Stage.QUIT: Move(Act.DROP)})
        assert is_delivered(await send(pool, site_called("two", peer), MAIL))


async def test_each_tls_mode_has_connections_of_its_own(peer: Peer) -> None:
    async with pool_of() as pool:
        await send(pool, peer.site(tls=TlsMode.NEVER), MAIL)
        await send(pool, peer.site(tls=TlsMode.OPPORTUNISTIC), MAIL)
        assert pool.stats.dialled_count == 2


async def test_a_connection_retires_after_its_messages(peer: Peer) -> None:
    async with pool_of() as pool:
        for _ in range(4):
            assert is_delivered(await send(pool, peer.site(), MAIL, bounds=bounded(2)))
        assert pool.stats.dialled_count == 2
    assert peer.commands.count("QUIT") == 2


async def test_an_idle_connection_takes_leave(peer: Peer) -> None:
    async with pool_of(idle_s=0.05) as pool:
        await send(pool, peer.site(), MAIL)
        assert pool.stats.idle_count == 1
        await peer.reached(Stage.QUIT)
        await peer.until_idle()
        assert pool.stats.idle_count == 0
        assert is_delivered(await send(pool, peer.site(), MAIL))


async def test_a_bad_address_of_ours_harms_no_connection(peer: Peer) -> None:
    async with pool_of() as pool:
        for _ in range(2):
            with pytest.raises(LocalProtocolError):
                await send(pool, peer.site(), Envelope("a\r\nRSET@x", (TO,), b""))
            assert is_delivered(await send(pool, peer.site(), MAIL))
        assert peer.connection_count == 1


# Staleness.


@pytest.mark.parametrize("move", [Move(Act.DROP), Move(Act.RESET), Move(Act.SAY, b"421 4.4.2 idle too long\r\n")])
@pytest.mark.parametrize("site_max", [1, 5])
async def test_a_stale_connection_costs_nobody_anything(peer: Peer, move: Move, site_max: int) -> None:
    async with pool_of(slots=FreeSlots(site_max)) as pool:
        await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={Stage.MAIL: msgspec.structs.replace(move, times_max=1)})
        attempts = await Queue(pool).send_many(peer.site(), 3)
        assert all(is_delivered(attempt) for attempt in attempts)
        await until_open(pool, site_max)
    assert len(peer.received) == 4


async def test_a_fresh_connection_that_dies_is_reported(peer: Peer) -> None:
    peer.script = Script(moves={Stage.MAIL: Move(Act.DROP)})
    async with pool_of() as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase.MAIL, None, Cause.RESET)}
        assert peer.connection_count == 1
        peer.script = Script()
        await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={Stage.MAIL: Move(Act.DROP)})
        attempt = await send(pool, peer.site(), MAIL)  # The reused one and then the fresh one.
        assert attempt.answers == {TO: Answer(Phase.MAIL, None, Cause.RESET)}
        assert peer.connection_count == 3


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_a_reused_connection_that_dies_after_mail_is_reported(peer: Peer, stage: Stage) -> None:
    async with pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={stage: Move(Act.DROP)})
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), None, Cause.RESET)}
        assert peer.connection_count == 1


async def test_a_peer_that_closes_an_idle_connection_is_noticed(peer: Peer) -> None:
    async with pool_of() as pool:
        await send(pool, peer.site(), MAIL)
        peer.hang_up()
        await peer.until_idle()
        while pool.stats.open_count:
            await asyncio.sleep(0)
        assert is_delivered(await send(pool, peer.site(), MAIL))


# Cancelling.


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO, Stage.MAIL, Stage.DOT])
async def test_a_cancelled_conversation_gives_its_slot_to_the_next(peer: Peer, stage: Stage) -> None:
    peer.script = Script(moves={stage: Move(Act.HOLD, times_max=1)})
    async with pool_of(slots=FreeSlots(1)) as pool, asyncio.TaskGroup() as group:
        queue = Queue(pool)
        first = group.create_task(queue.send(peer.site()))
        await peer.reached(stage)
        second = group.create_task(queue.send(peer.site()))
        await asyncio.sleep(0)
        first.cancel()
        assert is_delivered(await second)
        peer.release()


async def test_cancelled_while_another_makes_room_gives_the_slot_back(peer: Peer) -> None:
    slots = FreeSlots(1)
    async with pool_of(slots=slots) as pool, asyncio.TaskGroup() as group:
        await send(pool, site_called("one", peer), MAIL)
        peer.script = Script(moves={Stage.QUIT: Move(Act.HOLD)})
        second = group.create_task(send(pool, site_called("two", peer), MAIL))
        await peer.reached(Stage.QUIT)
        assert slots.taken[GATE] == 1
        second.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert slots.taken[GATE] == 0
        peer.release()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_no_slot_is_lost_in_any_weather(peer: Peer, seed: int) -> None:
    chance = random.Random(seed)
    acts = [Move(Act.DROP, times_max=9), Move(Act.RESET, times_max=9), Move(Act.SAY, b"421 4.3.2 no\r\n", times_max=9)]
    peer.script = Script(moves={stage: chance.choice(acts) for stage in Stage if stage is not Stage.BODY})
    slots = FreeSlots(3)
    async with pool_of(slots=slots, connections_max=4) as pool:
        queue = Queue(pool)
        sites = [site_called(name, peer) for name in ("one", "two", "three")]
        gates = [bounded(4, "gate"), bounded(4, "gate"), bounded(3, "other")]  # Two sites of one provider.
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                site, bounds = chance.choice(list(zip(sites, gates, strict=True)))
                sent = group.create_task(queue.send(site, bounds=bounds))
                if chance.random() < 0.3:
                    slots.yielding.symmetric_difference_update({(WAY.source, "gate")})
                for _ in range(chance.randrange(8)):
                    await asyncio.sleep(0)
                if chance.random() < 0.3:
                    sent.cancel()
                assert pool.stats.open_count <= 4
        assert max(slots.most.values()) <= 3
        peer.script = Script()
        assert is_delivered(await send(pool, peer.site(), MAIL))


# Closing.


async def test_after_close_nothing_is_sent(peer: Peer) -> None:
    async with pool_of() as pool:
        early = [reserve(pool, peer.site()) for _ in range(2)]
        await pool.close()
        attempt = await pool.deliver(early[0], lambda _: MAIL, (TO,))
        assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.RESET)}
        pool.drop(early[1])
        assert pool.reserve(peer.site(), WAY, BOUNDS) is None
        await pool.close()
    assert peer.connection_count == 0


@pytest.mark.parametrize(
    ("stage", "phase"),
    [(Stage.GREETING, Phase.CONNECT), (Stage.EHLO, Phase.CONNECT), (Stage.STARTTLS, Phase.CONNECT)],
)
async def test_close_breaks_off_what_is_being_set_up(peer: Peer, stage: Stage, phase: Phase) -> None:
    peer.script = Script(tls=TlsKind.GOOD, moves={stage: Move(Act.HOLD)})
    async with pool_of() as pool, asyncio.TaskGroup() as group:
        sent = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(stage)
        await pool.close()
        attempt = await sent
        assert attempt.answers == {TO: Answer(phase, None, Cause.RESET)}


async def test_closing_twice_at_once_is_closing(peer: Peer) -> None:
    peer.script = Script(moves={Stage.EHLO: Move(Act.HOLD)})
    async with pool_of() as pool, asyncio.TaskGroup() as group:
        sent = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(Stage.EHLO)
        for _ in range(3):
            group.create_task(pool.close())
            await asyncio.sleep(0)
        assert (await sent).answers == {TO: Answer(Phase.CONNECT, None, Cause.RESET)}


async def test_close_answers_who_holds_a_connection_or_waits_for_room(peer: Peer) -> None:
    slots = FreeSlots(2)
    async with pool_of(slots=slots) as pool, asyncio.TaskGroup() as group:
        await Queue(pool).send_many(site_called("one", peer), 2)
        held = reserve(pool, site_called("one", peer))
        peer.script = Script(moves={Stage.QUIT: Move(Act.HOLD)})
        waiting = group.create_task(send(pool, site_called("two", peer), MAIL))
        await peer.reached(Stage.QUIT)
        closing = group.create_task(pool.close())
        assert (await waiting).answers == {TO: Answer(Phase.CONNECT, None, Cause.RESET)}
        attempt = await pool.deliver(held, lambda _: MAIL, (TO,))
        assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.RESET)}
        peer.release()
        await closing


async def test_duration_is_told_by_the_clock(peer: Peer) -> None:
    clock = FakeClock()
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    async with pool_of(clock=clock) as pool, asyncio.TaskGroup() as group:
        sent = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(Stage.DOT)
        clock.advance(7.5)
        peer.release()
        assert (await sent).duration_s == 7.5
