"""What tests of delivery share: a mail, a pool whose waits a test may shorten, and what must hold after every fault.

async with Peer(script) as peer, pool_of(data_end_wait_s=0.1) as pool:
    attempt = await send(pool, peer.site(), MAIL)
    await check_next_mail(pool, peer)
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from outrider.base.clock import Clock
from outrider.base.vocab import Phase
from outrider.net.pool import Attempt, Bounds, ConnectionPool, Reservation
from outrider.net.settings import NetSettings
from outrider.net.site import Site, Way
from outrider.net.tls import TlsContexts
from outrider.testing.clock import RealClock
from outrider.testing.peer import Peer, Script
from outrider.testing.slots import FreeSlots
from outrider.wire.smtp_client import Envelope

TO: Final = "someone@partner.example"
MAIL: Final = Envelope("us@shop.example", (TO,), b"Subject: x\r\n\r\nhello\r\n")
# More than the buffers of both systems hold, so that a peer can be seen not to read.
LARGE_MAIL: Final = Envelope("us@shop.example", (TO,), b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 400_000)
_NEXT: Final = Envelope("next@shop.example", (TO,), b"Subject: y\r\n\r\nhello again\r\n")
WAY: Final = Way("test")
BOUNDS: Final = Bounds("peer", 100)
_WAIT_S: Final = 5.0


def settings_for(**changes: float | str | bool) -> NetSettings:
    """Return settings with `changes`; the other waits are longer than any test, shorter than anybody's patience."""
    waits = {name: _WAIT_S for name in NetSettings.__struct_fields__ if name.endswith("_wait_s")}
    return msgspec.convert({"ehlo_name": "us.example", **waits, **changes}, NetSettings)


@contextlib.asynccontextmanager
async def pool_of(
    *, clock: Clock | None = None, ca_pem: str = "", slots: FreeSlots | None = None, **changes: float | str | bool
) -> AsyncIterator[ConnectionPool]:
    """Give a pool with `changes` to its settings; close it and see that nothing of it is left."""
    settings = settings_for(**changes)
    slots = slots or FreeSlots()
    contexts = TlsContexts(settings, ca_pem=ca_pem)
    pool = ConnectionPool(settings, clock=clock or RealClock(), slots=slots, contexts=contexts)
    try:
        yield pool
    finally:
        await pool.close(wait_s=_WAIT_S)
    assert pool.stats.open_count == 0
    assert (pool.stats.site_count, pool.stats.slot_count, slots.taken.total()) == (0, 0, 0), "a slot was lost"


def reserve(pool: ConnectionPool, site: Site, *, way: Way = WAY, bounds: Bounds = BOUNDS) -> Reservation:
    """Return a reservation; that there is one is part of the test."""
    reservation = pool.reserve(site, way, bounds)
    assert reservation is not None, "no connection was to be had"
    return reservation


async def send(
    pool: ConnectionPool, site: Site, envelope: Envelope, *, way: Way = WAY, bounds: Bounds = BOUNDS
) -> Attempt:
    """Carry `envelope` over a connection that is to be had at once."""
    reservation = reserve(pool, site, way=way, bounds=bounds)
    return await pool.deliver(reservation, lambda _: envelope, envelope.recipients)


async def check_next_mail(pool: ConnectionPool, peer: Peer) -> None:
    """See that, once `peer` behaves, the next mail is delivered as if nothing had happened."""
    peer.release()
    peer.script = Script()
    for _ in range(2):  # The first one may meet what is left of the fault; the second, what the first one left.
        attempt = await send(pool, peer.site(), _NEXT)
        assert is_delivered(attempt), attempt
    assert [mail.sender for mail in peer.received].count(_NEXT.sender) == 2
    assert pool.stats.open_count == pool.stats.idle_count


def is_delivered(attempt: Attempt) -> bool:
    """Tell whether every recipient of `MAIL` was taken at the dot."""
    answer = attempt.answers[TO]
    return answer.phase is Phase.DOT and answer.reply is not None and answer.reply.severity == 2
