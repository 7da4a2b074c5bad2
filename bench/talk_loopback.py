"""What does one conversation cost without database and signature? The connection pool against the sink, one process.

Twenty connections to one site, 3 KB a mail, STARTTLS off and on. The CPU is that of the sending process and the sink's.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

import uvloop

from bench.lines import Line
from outrider.net.pool import Bounds, ConnectionPool
from outrider.net.settings import NetSettings
from outrider.net.site import Host, Site, Way
from outrider.testing import usage
from outrider.testing.sink_client import RunningSink
from outrider.testing.slots import FreeSlots
from outrider.wire.smtp_client import Envelope, TlsMode

COUNT: Final = 40_000
_AT_ONCE: Final = 40
_CONTENT: Final = b"From: a@shop.example\r\nMessage-ID: <1@shop.example>\r\n\r\n" + (b"x" * 76 + b"\r\n") * 40


class _Clock:
    """The real clock; `app` has another, but importing it costs 40 MB."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - a real clock.

    def monotonic_s(self) -> float:
        return time.monotonic()  # noqa: TID251 - a real clock.

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)  # noqa: TID251 - a real clock.


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Talk with and without TLS."""
    for has_tls in (False, True):
        count = COUNT // 10 if is_quick else COUNT
        yield await asyncio.to_thread(_run_alone, has_tls, count, limit)


def _run_alone(has_tls: bool, count: int, limit: Line) -> Line:
    return uvloop.run(_run(has_tls, count, limit))


async def _run(has_tls: bool, count: int, limit: Line) -> Line:
    async with RunningSink.start(has_tls=has_tls) as sink:
        settings = NetSettings(ehlo_name="bench.example", allow_private_mx=True)
        pool = ConnectionPool(settings, clock=_Clock(), slots=FreeSlots())
        way, bounds = Way("bench"), Bounds("sink", 100)
        tls = TlsMode.OPPORTUNISTIC if has_tls else TlsMode.NEVER
        site = Site("sink", (Host("sink.example", ("127.0.0.1",)),), sink.port, tls)
        numbers = iter(range(count))

        async def talk() -> None:
            for number in numbers:
                recipient = f"u{number}@route.example"
                envelope = Envelope("a@shop.example", (recipient,), _CONTENT)
                reservation = pool.reserve(site, way, bounds)
                assert reservation is not None
                attempt = await pool.deliver(reservation, lambda _, made=envelope: made, envelope.recipients)
                answer = attempt.answers[recipient]
                assert answer.reply is not None, answer
                assert answer.reply.severity == 2, answer

        sink_before, before, started_s = usage.measure_one(sink.pid).cpu_s, _cpu_s(), perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(talk())
        elapsed_s, ours_s = perf_counter() - started_s, _cpu_s() - before
        counts = await sink.wait(messages=count, timeout_s=10)
        sink_s = usage.measure_one(sink.pid).cpu_s - sink_before
        assert counts.messages == count, counts
        await pool.close(wait_s=1.0)
    return Line(
        name=f"talk_loopback 3k{' starttls' if has_tls else ''}",
        n=count,
        unit="mail",
        rate=round(count / elapsed_s, 1),
        cpu_us={"talk": round(ours_s / count * 1e6, 1), "sink": round(sink_s / count * 1e6, 1)},
        rsa_ratio=round(count / elapsed_s / limit.rate, 3),
    )


def _cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime
