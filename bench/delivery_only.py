"""How fast is a full queue emptied, with nothing coming in? Filled by the web role, then only deliver runs.

The clock runs from the first message at the sink to the last one, so the start of the processes is not in it.
"""

from collections.abc import AsyncIterator
from typing import Final

from bench.lines import Line
from bench.rig import MEASURED_FIRST, Case, make_line, metered, rig

CASES: Final = (Case(count=60_000),)


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Fill, stop, deliver."""
    for case in CASES:
        count = case.count // 20 if is_quick else case.count
        async with rig(case) as one:
            await one.program.start("--role", "web")
            await one.load(case, count=count, first=MEASURED_FIRST)
            await one.program.stop()
            await one.program.serve("--role", "deliver")
            await one.sink.wait(messages=1, timeout_s=case.deadline_s)
            async with metered(one) as meter:
                last_at_s = await one.arrive(count, case.deadline_s)
            counts = await one.sink.counts()
            line = make_line(
                f"delivery_only {case.name}",
                n=count,
                elapsed_s=last_at_s - counts.first_at_s,
                meter=meter,
                load=None,
                limit=limit,
            )
            await one.program.stop()
        yield line
