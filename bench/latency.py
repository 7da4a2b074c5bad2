"""How long does one mail take on an idle node, from the request to the message at the receiving server?

One call with one recipient at a time, the next one when the mail has arrived.
"""

from collections.abc import AsyncIterator
from time import perf_counter
from typing import Final

import msgspec

from bench.lines import Line, share_ms
from bench.rig import Case, make_line, metered, rig

COUNT: Final = 100
_WAIT_S: Final = 10.0


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Send one after the other."""
    count = COUNT // 5 if is_quick else COUNT
    async with rig(Case(count=count, per_call=1)) as one:
        await one.program.start()
        await one.program.send(["warm@route0.example"])
        await one.arrive(1, _WAIT_S)
        taken_s = []
        async with metered(one) as meter:
            started_s = perf_counter()
            for number in range(count):
                asked_at_s = perf_counter()
                await one.program.send([f"u{number}@route{number % 10}.example"])
                taken_s.append(await one.arrive(number + 2, _WAIT_S) - asked_at_s)
            elapsed_s = perf_counter() - started_s
        line = make_line("latency idle", n=count, elapsed_s=elapsed_s, meter=meter, load=None, limit=limit)
        await one.program.stop()
    yield msgspec.structs.replace(line, p50_ms=share_ms(taken_s, 0.5), p99_ms=share_ms(taken_s, 0.99), rsa_ratio=None)
