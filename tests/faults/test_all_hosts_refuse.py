"""Fault: no host of a site takes us: nobody listens, or each turns us away at the door.

Every address is tried once, in order; the last failure is the answer; nothing stays open, and the next
mail tries the site afresh.
"""

from outrider.base.vocab import Phase
from outrider.net.site import Host, Site
from outrider.testing.delivery import MAIL, TO, check_next_mail, is_delivered, pool_of, send
from outrider.testing.peer import Act, Move, Peer, Script, Stage
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply

TURNED_AWAY = Script(moves={Stage.GREETING: Move(Act.SAY, b"554 5.7.1 go away\r\n")})


def site_of(port: int, *addresses: str) -> Site:
    return Site("x", tuple(Host(f"mx{ip[-1]}.x.example", (ip,)) for ip in addresses), port)


async def test_nobody_listens() -> None:
    async with Peer() as peer, pool_of() as pool:
        attempt = await send(pool, site_of(peer.port, "127.0.0.7", "127.0.0.8"), MAIL)
        assert attempt.answers == {TO: Answer(Phase.CONNECT, None, Cause.REFUSED)}
        assert (attempt.host, attempt.ip) == ("mx8.x.example", "127.0.0.8")
        assert (pool.stats.open_count, pool.stats.dialled_count) == (0, 0)
        await check_next_mail(pool, peer)


async def test_each_turns_us_away() -> None:
    async with (
        Peer(TURNED_AWAY) as first,
        Peer(TURNED_AWAY, address="127.0.0.2", port=first.port) as second,
        pool_of() as pool,
    ):
        site = site_of(first.port, first.address, second.address)
        attempt = await send(pool, site, MAIL)
        assert attempt.answers == {TO: Answer(Phase.GREETING, Reply(554, "5.7.1", "go away"))}
        assert first.connection_count == second.connection_count == 1
        second.script = Script()
        assert is_delivered(await send(pool, site, MAIL))
        await check_next_mail(pool, first)
