"""Our SMTP client as the engine uses it, for benchmarks of it alone: a pool with connections to one server.

    async with talking(port, has_tls=True) as talker:
        await talker.send(Envelope("a@shop.example", ("b@route.example",), content))

The one place of the benchmarks that knows the pool's interface.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

from outrider.net.pool import Bounds, ConnectionPool
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site, Way
from outrider.testing.clock import RealClock
from outrider.testing.slots import FreeSlots
from outrider.wire.smtp_client import Envelope, TlsMode

CONNECTIONS: Final = 20
MAILS_PER_CONNECTION: Final = 100
_CLOSE_S: Final = 1.0
_WAY: Final = Way("bench")
_BOUNDS: Final = Bounds("sink", MAILS_PER_CONNECTION)


class Talker:
    """The pool and the one site it talks to. Made by `talking`."""

    def __init__(self, pool: ConnectionPool, site: Site) -> None:
        self._pool: Final = pool
        self._site: Final = site

    async def send(self, envelope: Envelope) -> None:
        """Hand one mail over; anything but a 250 is an error. At most `CONNECTIONS` callers at once."""
        reservation = self._pool.reserve(self._site, _WAY, _BOUNDS)
        assert reservation is not None
        attempt = await self._pool.deliver(reservation, lambda _: envelope, envelope.recipients)
        for answer in attempt.answers.values():
            if answer.reply is None or answer.reply.severity != 2:
                raise RuntimeError(f"not taken: {answer}")

    async def send_all(self, envelopes: Iterator[Envelope]) -> None:
        """Hand these over, as many at once as there are connections."""

        async def send() -> None:
            for envelope in envelopes:
                await self.send(envelope)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(send())


@contextlib.asynccontextmanager
async def talking(port: int, *, has_tls: bool = False, ip: str = "127.0.0.1") -> AsyncIterator[Talker]:
    """Open a pool for the server at that port; its connections are closed at the end of the block."""
    settings = NetSettings(
        ehlo_name="bench.example",
        allow_private_mx=True,
    )
    pool = ConnectionPool(settings, clock=RealClock(), slots=FreeSlots())
    tls = TlsMode.OPPORTUNISTIC if has_tls else TlsMode.NEVER
    try:
        yield Talker(pool, Site("sink", (Host("sink.example", (ip,)),), port, tls))
    finally:
        await pool.close(wait_s=_CLOSE_S)
