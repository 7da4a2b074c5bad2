"""What does a new connection for every mail cost? End to end, with and without TLS: many receivers take no second mail.

Beside it in `end_to_end` stands the same with connections that are used again. Every TLS handshake is a full one: we
keep no sessions.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from bench.lines import Line, with_facts
from bench.rig import Case, run_case, warm_count

# The setting that says so; the one place to change with it.
ONE_MAIL_EACH: Final[Mapping[str, str]] = {"OUTRIDER_SHAPING__PROVIDERS__SMARTHOST__MESSAGES_PER_CONNECTION": "1"}
# Fewer than there are ports to one address of the sink, 28,000: each is in use for another minute.
CASES: Final = (
    Case(count=20_000, env=ONE_MAIL_EACH, label="1/connection"),
    Case(count=10_000, env=ONE_MAIL_EACH, label="1/connection", has_tls=True),
)


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Run every case, a new program for each."""
    for case in CASES[1:] if is_quick else CASES:
        count = case.count // 10 if is_quick else case.count
        yield await _run(case, count, limit, warm_count(is_quick=is_quick))


async def _run(case: Case, count: int, limit: Line, warm: int) -> Line:
    async with run_case("new_connection", case, count=count, warm=warm, limit=limit) as (one, line):
        counts = await one.sink.counts()
        if counts.connections < count:
            raise RuntimeError(
                f"{count} mails came over {counts.connections} connections: {ONE_MAIL_EACH} has no effect"
            )
    return with_facts(line, connections=counts.connections, tls_connections=counts.tls_connections)
