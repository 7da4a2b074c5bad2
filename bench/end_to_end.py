"""How many mails a second go from the API to the receiving server? From the first request to the last message there.

3 KB HTML and 100 KB text, 100 recipients a call and 1, STARTTLS off and on, signed with RSA and Ed25519 or RSA alone;
all recipients distinct, over ten domains, every call's content its own. p50 and p99 are those of a call. The line of
100 KB also says what KumoMTA publishes for bodies of that size.
"""

from collections.abc import AsyncIterator
from typing import Final

from bench.lines import Line, with_facts
from bench.rig import Case, run_case, warm_count

CASES: Final = (
    Case(count=100_000),
    Case(count=40_000, per_call=1, connections=32),
    Case(count=40_000, is_rsa_only=True),
    Case(count=40_000, has_tls=True),
    Case(count=6_000, body="100k"),
)
# KumoMTA's makers: mails of 100 KB a second on 2 CPU. Not this machine's cores, so an order of magnitude.
_KUMOMTA_RATE: Final = 750.0


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Run every case, a new program for each."""
    for case in CASES[:2] if is_quick else CASES:
        count = max(case.count // 20, 2_000) if is_quick else case.count
        yield await _run(case, count, limit, warm_count(is_quick=is_quick))


async def _run(case: Case, count: int, limit: Line, warm: int) -> Line:
    async with run_case("end_to_end", case, count=count, warm=warm, limit=limit) as (_, line):
        pass
    if case.body == "100k":
        line = with_facts(line, kumomta_rate=_KUMOMTA_RATE, kumomta_ratio=round(line.rate / _KUMOMTA_RATE, 2))
    return line
