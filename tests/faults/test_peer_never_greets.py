"""Fault: the peer takes the connection and then says nothing, or takes its time between two words.

The greeting has its deadline (RFC 5321 §4.5.3.2.1). The next host is tried; if there is none the mail is deferred, and
nothing stays open.
"""

from outrider.base.vocab import Phase
from outrider.net.site import Host, Site
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause

SILENT = Script(moves={Stage.GREETING: Move(Act.HOLD)})


async def test_silence_is_a_timeout_of_the_greeting() -> None:
    async with Peer(SILENT) as peer, pool_of(greeting_wait_s=0.05) as pool:
        attempt = await send(pool, peer.site(), MAIL)
        assert attempt.answers == {TO: Answer(Phase.GREETING, None, Cause.TIMEOUT)}
        assert 0.04 < attempt.duration_s < 2
        assert pool.stats.open_count == 0
        await check_next_mail(pool, peer)


async def test_the_next_host_is_tried() -> None:
    async with (
        Peer() as peer,
        Peer(SILENT, address="127.0.0.2", port=peer.port) as silent,
        pool_of(greeting_wait_s=0.05) as pool,
    ):
        site = Site("x", (Host("mx1.x.example", (silent.address,)), Host("mx2.x.example", (peer.address,))), peer.port)
        attempt = await send(pool, site, MAIL)
        assert is_delivered(attempt)
        assert attempt.ip == peer.address
