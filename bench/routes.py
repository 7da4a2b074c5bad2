"""How fast is mail to very many domains, each with its own MX, and what does a deliver process then hold?

1,000 and 50,000 routes, a few mails a route, each route a site of its own: a look-up, a lane and a connection or more.
The warm-up goes to ten other domains, so nothing is known of these. `descriptors_max` and `deliver_rss_mb` are the
highest of one deliver process, sampled every second: both should follow open connections, not routes.
"""

from collections.abc import AsyncIterator
from typing import Final

from bench.lines import Line, with_facts
from bench.rig import MEASURED_FIRST, Case, make_line, metered, rig, warm_count

CASES: Final = (
    Case(count=10_000, routes=1_000, is_direct=True),
    Case(count=100_000, routes=50_000, is_direct=True),
)
QUICK: Final = (Case(count=1_000, routes=500, is_direct=True),)
_WARM: Final = Case(count=0, is_direct=True)


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Run every case, a new program for each."""
    for case in QUICK if is_quick else CASES:
        yield await _run(case, limit, warm_count(is_quick=is_quick))


async def _run(case: Case, limit: Line, warm: int) -> Line:
    async with rig(case) as one:
        await one.program.start()
        await one.warm_up(_WARM, warm)
        async with metered(one) as meter:
            load = await one.load(case, count=case.count, first=MEASURED_FIRST)
            last_at_s = await one.arrive(case.count, case.deadline_s)
        counts = await one.sink.counts()
        line = make_line(
            f"routes {case.name}",
            n=case.count,
            elapsed_s=last_at_s - load.first_at_s,
            meter=meter,
            load=load,
            limit=limit,
        )
        await one.program.stop()
    return with_facts(
        line,
        routes=case.routes,
        connections=counts.connections,
        descriptors_max=meter.deliver_descriptors_max,
        deliver_rss_mb=round(meter.deliver_rss_bytes_max / 1e6, 1),
    )
