"""What does one conversation cost without database and signature? The connection pool against the sink, one process.

Twenty connections to one site, 3 KB a mail, STARTTLS off and on. The CPU is that of the sending process and the sink's.
"""

import asyncio
import resource
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Final

import uvloop

from bench.lines import Line
from bench.talker import talking
from outrider.testing import usage
from outrider.testing.sink_client import RunningSink
from outrider.wire.smtp_client import Envelope

COUNT: Final = 40_000
_CONTENT: Final = b"From: a@shop.example\r\nMessage-ID: <1@shop.example>\r\n\r\n" + (b"x" * 76 + b"\r\n") * 40


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Talk with and without TLS."""
    for has_tls in (False, True):
        count = COUNT // 10 if is_quick else COUNT
        yield await asyncio.to_thread(_run_alone, has_tls, count, limit)


def _run_alone(has_tls: bool, count: int, limit: Line) -> Line:
    return uvloop.run(_run(has_tls, count, limit))


async def _run(has_tls: bool, count: int, limit: Line) -> Line:
    async with RunningSink.start(has_tls=has_tls) as sink:
        envelopes = (Envelope("a@shop.example", (f"u{number}@route.example",), _CONTENT) for number in range(count))
        async with talking(sink.port, has_tls=has_tls) as talker:
            sink_before, before, started_s = usage.measure_one(sink.pid).cpu_s, cpu_s(), perf_counter()
            await talker.send_all(envelopes)
            elapsed_s, ours_s = perf_counter() - started_s, cpu_s() - before
            counts = await sink.wait(messages=count, timeout_s=10)
            sink_s = usage.measure_one(sink.pid).cpu_s - sink_before
            assert counts.messages == count, counts
    return Line(
        name=f"talk_loopback 3k{' starttls' if has_tls else ''}",
        n=count,
        unit="mail",
        rate=round(count / elapsed_s, 1),
        cpu_us={"talk": round(ours_s / count * 1e6, 1), "sink": round(sink_s / count * 1e6, 1)},
        rsa_ratio=round(count / elapsed_s / limit.rate, 3),
    )


def cpu_s() -> float:
    """Return the CPU seconds of this process so far."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime
