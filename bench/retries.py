"""Do 50,000 retries at random over 5,000 idempotency keys make 5,000 mails, and what does a retry cost?"""

from collections.abc import AsyncIterator

from bench.lines import Line
from bench.rig import Case, metered, rig
from outrider.testing.retries import Caller, storm

KEYS = 5_000
CALLS = 50_000
CONNECTIONS = 64


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Let the storm loose on the web role alone. Raises AssertionError: a mail too many, or another answer."""
    keys, calls = (KEYS // 20, CALLS // 20) if is_quick else (KEYS, CALLS)
    async with rig(Case(count=calls)) as one:
        key = await one.program.start("--role", "web")
        caller = Caller(
            url=one.program.url, bearer=f"{key.access_key_id}.{key.access_key_secret}", sender=one.program.sender
        )
        async with metered(one) as meter:
            found = await storm(caller, keys=keys, calls=calls, connections=CONNECTIONS)
        assert found.statuses == {202: calls}, found
        assert (found.mails, found.answers, found.torn_keys) == (keys, keys, 0), found
        await one.program.stop()
    yield Line(
        name="retries",
        n=calls,
        unit="call",
        rate=round(calls / found.elapsed_s, 1),
        cpu_us={role: round(seconds / calls * 1e6, 1) for role, seconds in meter.cpu_s.items()},
        facts={"keys": keys, "mails": found.mails, "firsts": found.firsts},
    )
