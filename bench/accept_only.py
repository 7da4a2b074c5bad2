"""How fast are calls stored, with nobody delivering? Only the web role runs; p50 and p99 are those of a call."""

from collections.abc import AsyncIterator
from typing import Final

from bench.lines import Line
from bench.rig import MEASURED_FIRST, Case, make_line, metered, rig

CASES: Final = (Case(count=100_000), Case(count=20_000, per_call=1, connections=32))


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Fill the queue, a new program for each case."""
    for case in CASES:
        count = case.count // 20 if is_quick else case.count
        async with rig(case) as one:
            await one.program.start("--role", "web")
            await one.load(case, count=1_000, first=0)
            async with metered(one) as meter:
                load = await one.load(case, count=count, first=MEASURED_FIRST)
            elapsed_s = load.last_at_s - load.first_at_s
            line = make_line(
                f"accept_only {case.name}", n=count, elapsed_s=elapsed_s, meter=meter, load=load, limit=limit
            )
            await one.program.stop()
        yield line
