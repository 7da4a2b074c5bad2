"""What does a template cost a mail? End to end, the same 3 KB with and without one, each of 100 with five variables.

The two take turns in one run, so that both have the machine of the same minutes; `ratio` is the rate of all rounds with
a template over that without. Without one, the content is each call's own and HTML alone; with one it is stored once,
and has the text part that was made of the HTML, so its mails are larger.
"""

from collections.abc import AsyncIterator
from typing import Final

from bench.lines import Line, with_facts
from bench.rig import Case, run_case, warm_count

ROUNDS_COUNT: Final = 2
PLAIN: Final = Case(count=40_000)
FILLED: Final = Case(count=40_000, is_templated=True)


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Run both cases in turn, a new program for each."""
    spent_s = {PLAIN.name: 0.0, FILLED.name: 0.0}
    for _ in range(1 if is_quick else ROUNDS_COUNT):
        for case in (PLAIN, FILLED):
            count = 4_000 if is_quick else case.count
            async with run_case("templated", case, count=count, warm=warm_count(is_quick=is_quick), limit=limit) as (
                _,
                line,
            ):
                pass
            spent_s[case.name] += count / line.rate
            if case is FILLED:
                line = with_facts(line, ratio=round(spent_s[PLAIN.name] / spent_s[FILLED.name], 3))
            yield line
