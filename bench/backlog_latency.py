"""How long does a transactional mail take while a million others wait? From the request to the message at the sink.

Waiting meanwhile: 1,000,000 marketing mails for a provider that is paused, in one lane or in 20,000, and 100,000 for
providers that answer the final dot after five seconds, over 100 routes, as many at once as the engine will. The mail
that is measured comes five a second, whatever became of the one before (so a stall counts for each it delays), to ten
other domains. `none` is the same with nothing waiting.

A mail that has not come a minute after the last was sent counts as that late, and as a fact: `missing`. A paused mail
that is delivered is an error.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

from bench import backlog, lines
from bench.backlog import Pile
from bench.lines import Line
from bench.rig import EVERYWHERE, Case, Rig, make_line, metered, rig
from outrider.testing.clock import RealClock
from outrider.testing.load import recipient
from outrider.testing.sink_client import RunningSink
from outrider.testing.zone import OWN, Rule

SLOW_HOST: Final = "127.0.0.9"
SLOW_S: Final = 5.0
_SLOW_DOMAIN: Final = "slow.example"
_RULES: Final = (Rule(_SLOW_DOMAIN, OWN, (SLOW_HOST,)), *EVERYWHERE)
_LATE_S: Final = 60.0
_BEGUN_S: Final = 60.0


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, and what is sent."""

    label: str
    paused_count: int = 1_000_000
    paused_lanes: int = 1
    slow_count: int = 100_000
    slow_lanes: int = 100
    count: int = 240
    rate: float = 5.0  # Mails a second.


VARIANTS: Final = (
    Variant(label="none", paused_count=0, slow_count=0),
    Variant(label="1M paused in 1 lane, 100k slow"),
    Variant(label="1M paused in 20,000 lanes, 100k slow", paused_lanes=20_000),
)
QUICK: Final = (
    Variant(
        label="5k paused in 50 lanes, 1k slow",
        paused_count=5_000,
        paused_lanes=50,
        slow_count=1_000,
        slow_lanes=10,
        count=20,
        rate=10.0,
    ),
)


class _Sent(msgspec.Struct, frozen=True):
    """One mail: when it was asked for, how long the call took."""

    recipient: str
    asked_at_s: float  # perf_counter, one clock for all processes.
    call_s: float


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Run every variant, a new program for each."""
    for variant in QUICK if is_quick else VARIANTS:
        yield await _run(variant, limit)


async def _run(variant: Variant, limit: Line) -> Line:
    async with (
        rig(Case(count=variant.count, is_direct=True), rules=_RULES, has_record=True) as one,
        RunningSink.start(hosts=[SLOW_HOST], port=one.sink.port, rules=[f"dot * delay {SLOW_S}"]) as slow,
    ):
        await one.program.start("--role", "web")
        await _fill(one, variant)
        await one.program.serve("--role", "deliver")
        await one.program.send(["warm@route0.example"])
        await one.arrive(1, _BEGUN_S)
        if variant.slow_count and not (await slow.wait(messages=1, timeout_s=_BEGUN_S)).is_reached:
            raise RuntimeError(f"no slow mail was begun\n{one.program.log_tail()}")
        async with metered(one) as meter:
            started_s = perf_counter()
            sent = await _send(one, variant)
            counts = await one.sink.wait(messages=variant.count + 1, timeout_s=_LATE_S)
            ended_s = perf_counter()
        if counts.messages > variant.count + 1:
            raise RuntimeError(f"{variant.count + 1} wanted, the sink has {counts}: mail of a paused lane was sent")
        slow_counts = await slow.counts()
        line = make_line(
            f"backlog_latency {variant.label}",
            n=variant.count,
            elapsed_s=ended_s - started_s,
            meter=meter,
            load=None,
            limit=limit,
        )
        came_at_s = _read(one.record)
    # No polite stop: what is under way at the slow ones takes longer than one may.
    taken_s = [came_at_s.get(mail.recipient, ended_s) - mail.asked_at_s for mail in sent]
    line = msgspec.structs.replace(
        line, p50_ms=lines.share_ms(taken_s, 0.5), p99_ms=lines.share_ms(taken_s, 0.99), rsa_ratio=None
    )
    return lines.with_facts(
        line,
        missing=sum(mail.recipient not in came_at_s for mail in sent),
        call_p50_ms=lines.share_ms([mail.call_s for mail in sent], 0.5),
        call_p99_ms=lines.share_ms([mail.call_s for mail in sent], 0.99),
        slow_delivered=slow_counts.messages,
        slow_connections=slow_counts.open_connections,
        deliver_rss_mb=round(meter.deliver_rss_bytes_max / 1e6, 1),
    )


async def _fill(one: Rig, variant: Variant) -> None:
    dsn = one.program.dsn()
    owner = await backlog.owner_at(dsn)
    if variant.paused_count:
        pile = Pile(
            number=1,
            owner=owner,
            count=variant.paused_count,
            lanes=variant.paused_lanes,
            suffix="paused.example",
            provider="paused",
            paused_for_s=3600.0,
        )
        await backlog.put_in(dsn, pile)
    if variant.slow_count:
        pile = Pile(number=2, owner=owner, count=variant.slow_count, lanes=variant.slow_lanes, suffix=_SLOW_DOMAIN)
        await backlog.put_in(dsn, pile)


async def _send(one: Rig, variant: Variant) -> list[_Sent]:
    """Make a call at each tick, and do not wait for the one before."""
    clock = RealClock()
    started_s = perf_counter()

    async def send(number: int) -> _Sent:
        await clock.sleep(max(0.0, started_s + number / variant.rate - perf_counter()))
        address, asked_at_s = recipient(number), perf_counter()
        answer = await one.program.send([address])
        if answer["RetCode"]:
            raise RuntimeError(f"a call was refused: {answer}")
        return _Sent(address, asked_at_s, perf_counter() - asked_at_s)

    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(send(number)) for number in range(variant.count)]
    return [one_sent.result() for one_sent in sending]


def _read(record: Path) -> dict[str, float]:
    """Return when each recipient's message came, the first time."""
    came_at_s: dict[str, float] = {}
    for row in record.read_text("utf-8").splitlines():
        at_s, _, _, recipients = row.split("\t")
        for address in recipients.split(","):
            came_at_s.setdefault(address, float(at_s))
    return came_at_s
