"""How fast are calls stored, with nobody delivering? Only the web role runs; p50 and p99 are those of a call.

Beside the calls with one recipient stand as many to a server that does nothing (`bare`): `to_bare_ratio` is how many
times its CPU ours take, generator and database included.
"""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from bench import bare
from bench.lines import Line, with_facts
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
        if case.per_call == 1:
            nothing = await bare.measure(msgspec.structs.replace(case, count=count))
            yield nothing
            line = with_facts(line, to_bare_ratio=round(line.cpu_us_sum / nothing.cpu_us_sum, 2))
        yield line
