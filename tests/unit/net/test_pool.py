"""The pool over real sockets: reuse, bounds, fail-over, staleness, endings; and that no slot is ever lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from outrider.base.errors import LocalProtocolError
from outrider.base.vocab import Phase
from outrider.net.pool import Attempt, ConnectionPool
from outrider.net.site import Host, Site
from outrider.testing.delivery import MAIL, TO, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage, TlsKind
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply
from outrider.wire.smtp_client import Credentials, Envelope, TlsMode

NOBODY = "127.0.0.9"  # Nothing listens there.


class HandClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at_s)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, delay_s: float) -> None:
        self.at_s += delay_s


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


def site_of(port: int, *addresses: str, tls: TlsMode = TlsMode.OPPORTUNISTIC) -> Site:
    hosts = tuple(Host(f"mx{number}.peer.example", (address,)) for number, address in enumerate(addresses, 1))
    return Site("mx.peer.example", hosts, port, tls)


async def deliver_many(pool: ConnectionPool, site: Site, count: int) -> Sequence[Attempt]:
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(send(pool, site, MAIL)) for _ in range(count)]
    return [one.result() for one in sent]


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
    async with pool_of(messages_per_connection_max=4) as pool:
        await deliver_many(pool, peer.site(), 3)
        for _ in range(3):
            await send(pool, peer.site(), MAIL)  # Wears out one connection, not a third of each.
        assert pool.stats.reused_count == 3
        await send(pool, peer.site(), MAIL)
        assert peer.connection_count == 3
    assert peer.commands.count("QUIT") == 3


async def test_the_bound_holds_and_the_rest_wait_their_turn(peer: Peer) -> None:
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    envelopes = [msgspec.structs.replace(MAIL, sender=f"{number}@shop.example") for number in range(6)]
    async with pool_of(connections_per_site_max=2) as pool, asyncio.TaskGroup() as group:
        for envelope in envelopes:
            group.create_task(send(pool, peer.site(), envelope))
        await peer.reached(Stage.DOT, count=2)
        assert peer.connection_count == pool.stats.open_count == 2
        peer.release()
    senders = [mail.sender for mail in peer.received]
    assert set(senders[:2]) == {"0@shop.example", "1@shop.example"}
    assert len(senders) == 6
    assert peer.connection_count == 2
    first, second = senders[2::2], senders[3::2]
    assert sorted(first) == first
    assert sorted(second) == second


async def test_each_tls_mode_has_connections_of_its_own(peer: Peer) -> None:
    async with pool_of() as pool:
        await send(pool, peer.site(tls=TlsMode.NEVER), MAIL)
        await send(pool, peer.site(tls=TlsMode.OPPORTUNISTIC), MAIL)
        assert pool.stats.dialled_count == 2


async def test_a_connection_retires_after_its_messages(peer: Peer) -> None:
    async with pool_of(messages_per_connection_max=2) as pool:
        for _ in range(4):
            assert is_delivered(await send(pool, peer.site(), MAIL))
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


# Fail-over.


async def test_the_next_host_is_tried_when_one_cannot_be_reached(peer: Peer) -> None:
    async with pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, NOBODY, peer.address), MAIL)
        assert is_delivered(attempt)
        assert (attempt.host, attempt.ip) == ("mx2.peer.example", peer.address)


@pytest.mark.parametrize(
    ("stage", "move"),
    [
        (Stage.GREETING, Move(Act.SAY, b"554 5.3.2 no service\r\n")),
        (Stage.GREETING, Move(Act.SAY, b"421 4.3.2 too busy\r\n")),
        (Stage.GREETING, Move(Act.DROP)),
        (Stage.EHLO, Move(Act.SAY, b"451 4.3.0 later\r\n")),
        (Stage.EHLO, Move(Act.GARBAGE)),
        (Stage.STARTTLS, Move(Act.DROP)),
    ],
)
async def test_the_next_host_is_tried_when_one_fails_before_mail(peer: Peer, stage: Stage, move: Move) -> None:
    broken = Script(tls=TlsKind.GOOD, moves={stage: move})
    async with Peer(broken, address="127.0.0.2", port=peer.port) as bad, pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, bad.address, peer.address), MAIL)
        assert is_delivered(attempt)
        assert attempt.ip == peer.address
        assert bad.connection_count == 1


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT])
async def test_what_fails_from_mail_on_stays_with_its_host(peer: Peer, stage: Stage) -> None:
    broken = Script(moves={stage: Move(Act.SAY, b"451 4.3.0 later\r\n")})
    async with Peer(broken, address="127.0.0.2", port=peer.port) as bad, pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, bad.address, peer.address), MAIL)
        assert attempt.answers == {TO: Answer(Phase(stage.value), Reply(451, "4.3.0", "later"))}
        assert attempt.ip == bad.address
        assert peer.connection_count == 0


async def test_a_host_that_failed_is_tried_last_until_it_is_forgiven(peer: Peer) -> None:
    clock, refusing = HandClock(), Script(moves={Stage.GREETING: Move(Act.SAY, b"554 no\r\n")})
    site = site_of(peer.port, "127.0.0.2", peer.address)
    async with (
        Peer(refusing, address="127.0.0.2", port=peer.port) as bad,
        pool_of(clock=clock, host_bad_s=60, messages_per_connection_max=1) as pool,
    ):
        for at_s, refused_count in [(0, 1), (59, 1), (61, 2)]:
            clock.at_s = at_s
            assert is_delivered(await send(pool, site, MAIL))
            assert bad.connection_count == refused_count


async def test_no_more_than_five_addresses_are_tried(peer: Peer) -> None:
    site = site_of(peer.port, *(f"127.0.0.{number}" for number in range(20, 25)), peer.address)
    async with pool_of() as pool:
        attempt = await send(pool, site, MAIL)
        assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.REFUSED)}
        assert is_delivered(await send(pool, site, MAIL))  # Those five are now tried last.


@pytest.mark.parametrize("hosts", [(), (Host("mx.peer.example", ()),)])
async def test_a_site_without_addresses_has_its_own_cause(hosts: tuple[Host, ...]) -> None:
    async with pool_of() as pool:
        attempt = await send(pool, Site("x", hosts), MAIL)
        assert attempt.answers == {TO: Answer(Phase.ROUTE, None, Cause.NO_HOST)}
        assert attempt.ip == ""


async def test_a_wrong_password_is_not_tried_on_every_host(peer: Peer) -> None:
    script = Script(mechanisms=("PLAIN",), moves={Stage.AUTH: Move(Act.SAY, b"535 5.7.8 no\r\n")})
    peer.script = script
    async with Peer(script, address="127.0.0.2", port=peer.port) as other, pool_of(allow_plaintext_auth=True) as pool:
        site = msgspec.structs.replace(
            site_of(peer.port, peer.address, other.address), credentials=Credentials("user", "wrong")
        )
        attempt = await send(pool, site, MAIL)
        assert attempt.answers == {TO: Answer(Phase.AUTH, Reply(535, "5.7.8", "no"))}
        assert other.connection_count == 0


# TLS.


async def test_tls_is_noted_in_the_attempt(peer: Peer) -> None:
    peer.script = Script(tls=TlsKind.GOOD)
    async with pool_of() as pool:
        for _ in range(2):
            assert (await send(pool, peer.site(), MAIL)).tls == "TLSv1.3"


@pytest.mark.parametrize("kind", [TlsKind.BROKEN, TlsKind.HANGUP])
async def test_broken_tls_is_remembered_where_it_was_a_favour(peer: Peer, kind: TlsKind) -> None:
    clock = HandClock()
    peer.script = Script(tls=kind)
    async with pool_of(clock=clock, tls_broken_s=3600, messages_per_connection_max=1) as pool:
        for at_s, tried_count in [(0, 1), (3599, 1), (3601, 2)]:
            clock.at_s = at_s
            attempt = await send(pool, peer.site(), MAIL)
            assert is_delivered(attempt)
            assert attempt.tls == ""
            assert peer.commands.count("STARTTLS") == tried_count


@pytest.mark.parametrize("kind", [TlsKind.NONE, TlsKind.BROKEN, TlsKind.HANGUP, TlsKind.GOOD])
async def test_nothing_is_sent_where_tls_is_required_and_fails(peer: Peer, kind: TlsKind) -> None:
    peer.script = Script(tls=kind)  # GOOD: of a stranger's signature.
    async with pool_of() as pool:
        attempt = await send(pool, peer.site(tls=TlsMode.REQUIRED), MAIL)
        assert attempt.answers == {TO: Answer(Phase.STARTTLS, None, Cause.TLS)}
    assert not any(line.startswith("MAIL") for line in peer.commands)


# Staleness.


@pytest.mark.parametrize("move", [Move(Act.DROP), Move(Act.RESET), Move(Act.SAY, b"421 4.4.2 idle too long\r\n")])
@pytest.mark.parametrize("site_max", [1, 5])
async def test_a_stale_connection_costs_nobody_anything(peer: Peer, move: Move, site_max: int) -> None:
    async with pool_of(connections_per_site_max=site_max) as pool:
        await send(pool, peer.site(), MAIL)
        peer.script = Script(moves={Stage.MAIL: msgspec.structs.replace(move, times_max=1)})
        attempts = await deliver_many(pool, peer.site(), 3)
        assert all(is_delivered(attempt) for attempt in attempts)
        assert pool.stats.open_count <= site_max
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
    async with pool_of(connections_per_site_max=1) as pool, asyncio.TaskGroup() as group:
        first = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(stage)
        second = group.create_task(send(pool, peer.site(), MAIL))
        await asyncio.sleep(0)
        first.cancel()
        assert is_delivered(await second)
        peer.release()


async def test_a_cancelled_waiter_loses_no_connection(peer: Peer) -> None:
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    async with pool_of(connections_per_site_max=1) as pool, asyncio.TaskGroup() as group:
        first = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(Stage.DOT)
        impatient = group.create_task(send(pool, peer.site(), MAIL))
        patient = group.create_task(send(pool, peer.site(), MAIL))
        await asyncio.sleep(0)
        impatient.cancel()
        peer.release()
        assert is_delivered(await first)
        assert is_delivered(await patient)
        assert peer.connection_count == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_no_slot_is_lost_in_any_weather(peer: Peer, seed: int) -> None:
    chance = random.Random(seed)
    acts = [Move(Act.DROP, times_max=2), Move(Act.RESET, times_max=2), Move(Act.SAY, b"421 4.3.2 no\r\n", times_max=2)]
    peer.script = Script(moves={stage: chance.choice(acts) for stage in Stage if stage is not Stage.BODY})
    async with pool_of(connections_per_site_max=3, messages_per_connection_max=4) as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                sent = group.create_task(send(pool, peer.site(), MAIL))
                for _ in range(chance.randrange(8)):
                    await asyncio.sleep(0)
                if chance.random() < 0.3:
                    sent.cancel()
                assert pool.stats.open_count <= 3
        assert is_delivered(await send(pool, peer.site(), MAIL))


# Closing.


async def test_after_close_nothing_is_sent(peer: Peer) -> None:
    async with pool_of() as pool:
        await pool.close()
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.RESET)}
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


async def test_close_answers_those_who_wait(peer: Peer) -> None:
    peer.script = Script(moves={Stage.MAIL: Move(Act.HOLD)})
    async with pool_of(connections_per_site_max=1) as pool, asyncio.TaskGroup() as group:
        busy = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(Stage.MAIL)
        waiting = group.create_task(send(pool, peer.site(), MAIL))
        await asyncio.sleep(0)
        await pool.close()
        assert (await busy).answers == {TO: Answer(Phase.MAIL, None, Cause.RESET)}
        assert (await waiting).answers == {TO: Answer(Phase.CONNECT, None, Cause.RESET)}


async def test_duration_is_told_by_the_clock(peer: Peer) -> None:
    clock = HandClock()
    peer.script = Script(moves={Stage.DOT: Move(Act.HOLD)})
    async with pool_of(clock=clock) as pool, asyncio.TaskGroup() as group:
        sent = group.create_task(send(pool, peer.site(), MAIL))
        await peer.reached(Stage.DOT)
        clock.at_s = 7.5
        peer.release()
        assert (await sent).duration_s == 7.5
