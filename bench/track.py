"""How many clicks and opens a second does one web worker take, and does the database hold all of them afterwards?

The web role with one worker answers over loopback while it writes what came before, as in service; worker and database
run beside it, `fsync` on. Each recipient of as many delivered mails follows a link once, then opens the mail, as fast
as they are answered; then both at an even rate, where what takes long counts from the instant a request was due; then
one link is followed 100,000 times, by the same reader, at two web workers at once.

`rate` is what the machine did with everybody on it. What a worker alone could do is `of_a_core`: a second by the CPU
that the web worker used a request, its writing included. `drained` is how many hits a second were written once nobody
asked any more.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import asyncpg
import msgspec

from bench import backlog
from bench.backlog import Pile
from bench.clicks import Clicks, clicked
from bench.lines import Line
from bench.rig import temporary_dir
from outrider.testing.clock import RealClock
from outrider.testing.program import Program

_COUNT: Final = 50_000
_DUPLICATES: Final = 100_000
_RATES: Final = (2_000, 5_000)  # The second is what is promised of one core.
_PACED_S: Final = 10
_CONNECTIONS: Final = 32
_WAIT_S: Final = 120.0
_POLL_S: Final = 0.05
_RECIPIENTS: Final = "01960000-0001-7000-9000-"  # As `backlog` names those of pile 1.
_DELIVERED: Final = """
    UPDATE recipient SET status = 'delivered', attempt = 1, updated_at = now() - interval '1 hour'"""
_STORED: Final = """
    SELECT COALESCE(sum(clicks + opens), 0)::int AS hits, count(*) FILTER (WHERE clicks > 0) AS clicked,
           count(*) FILTER (WHERE opens > 0) AS opened FROM engagement"""
_FIRSTS: Final = """
    SELECT count(*) FROM event WHERE (facts->>'first')::bool AND kind = 'clicked' AND recipient_id = $1::uuid"""


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Measure one worker, then two with duplicates."""
    del limit  # No signature of a mail in it.
    share = 20 if is_quick else 1
    counts = [_COUNT // share, *(rate * _PACED_S // share for rate in _RATES)]
    async with temporary_dir() as path:
        async with _running(path, 1) as (program, connection):
            owner = await backlog.owner_at(program.dsn())
            pile = Pile(number=1, owner=owner, count=sum(counts), lanes=10, suffix="a.example")
            await backlog.put_in(program.dsn(), pile)
            await connection.execute(f"DELETE FROM queue; {_DELIVERED}")
            await connection.execute("VACUUM (ANALYZE) recipient")
            bench = _Bench(program, connection)
            await bench.run("warm", Clicks(**bench.usual, kind="open", count=200))
            for kind, (number, rate) in itertools.product(("click", "open"), enumerate((0, *_RATES))):
                name = f"{kind}s at {rate:,}/s" if rate else f"{kind}s"
                asked = Clicks(**bench.usual, kind=kind, first=sum(counts[:number]), count=counts[number], rate=rate)
                yield await bench.run(name, asked)
            await program.stop()
        async with _running(path, 2) as (program, connection):
            bench = _Bench(program, connection)
            await connection.execute("DELETE FROM engagement; DELETE FROM event")
            line = await bench.run("duplicates", Clicks(**bench.usual, kind="same", count=_DUPLICATES // share))
            firsts = await connection.fetchval(_FIRSTS, f"{_RECIPIENTS}{0:012x}")
            assert firsts == 1, firsts
            yield msgspec.structs.replace(line, facts={**line.facts, "unique": firsts})
            await program.stop()


@contextlib.asynccontextmanager
async def _running(path: Path, workers: int) -> AsyncIterator[tuple[Program, Any]]:
    env = {"OUTRIDER_FACES__WEB_WORKERS": str(workers), "OUTRIDER_LOG__LEVEL": "warning"}
    async with Program(path / "node", env=env) as program:
        await program.start("--role", "web", "--role", "worker")
        connection: Any = await asyncpg.connect(program.dsn())
        yield program, connection
        await connection.close()


class _Bench:
    """A program that runs, and what is asked of it."""

    def __init__(self, program: Program, connection: Any) -> None:
        self._program: Final = program
        self._connection: Final = connection
        self.usual: Final[dict[str, Any]] = {
            "port": program.ports["HTTP"],
            "data_dir": str(program.data_dir),
            "recipients": _RECIPIENTS,
            "connections": _CONNECTIONS,
        }

    async def run(self, name: str, clicks: Clicks) -> Line:
        """Ask all, wait until all of it is stored, and tell of it."""
        before, cpu_before_s = await self._stored(), self._cpu_s()
        report = await clicked(clicks)
        ended_s, at_end = perf_counter(), await self._stored()
        wanted = before["hits"] + clicks.count
        async with asyncio.timeout(_WAIT_S):
            while (stored := await self._stored())["hits"] < wanted:
                await RealClock().sleep(_POLL_S)
        drained_s = perf_counter() - ended_s
        assert stored["hits"] == wanted, stored
        spent_s = {role: cpu_s - cpu_before_s.get(role, 0.0) for role, cpu_s in self._cpu_s().items()}
        cpu_us = {role: round(each_s / clicks.count * 1e6, 1) for role, each_s in spent_s.items()}
        return Line(
            name=f"track {name}",
            n=clicks.count,
            unit="request",
            rate=round(clicks.count / report.elapsed_s),
            p50_ms=report.p50_ms,
            p99_ms=report.p99_ms,
            cpu_us=cpu_us | {"load": round(report.cpu_s / clicks.count * 1e6, 1)},
            facts={
                "max_ms": report.max_ms,
                "of_a_core": round(1e6 / cpu_us["web"]),
                "stored": stored["hits"] - before["hits"],
                "recipients": max(stored["clicked"], stored["opened"]),
            }
            | ({} if clicks.rate else {"drained": round((wanted - at_end["hits"]) / drained_s)}),
        )

    async def _stored(self) -> Mapping[str, int]:
        row: Mapping[str, int] = await self._connection.fetchrow(_STORED)
        return row

    def _cpu_s(self) -> dict[str, float]:
        return {role: one.cpu_s for role, one in self._program.usage().items()}
