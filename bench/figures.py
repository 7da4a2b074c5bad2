"""Do figures keep up, are they exact, and how fast are they told?

An embedded server without fsync. 200,000 mails with random fates (`testing.fates`) are counted from the log a batch at
a time, then counted again day by day: any difference fails the run. They are of three days, which is the worst case: no
two fall into the same minute. Then as many of five minutes, as they come in. Then 10 million events of 30 days, in 2
projects of 4 domains and 10 campaigns, and the figures that belong to them: what is asked is answered 100 times each.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Final
from uuid import UUID

from bench import lines
from bench.lines import Line
from bench.mail_lists import opened
from bench.rig import temporary_dir
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.recount import Recounter
from outrider.services.stats import Filters, Span, StatKeeper, Stats
from outrider.store import events, stats
from outrider.store.events import Cursor
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.fates import write_fates

_MAILS: Final = 200_000
_EVENTS: Final = 10_000_000
_DAYS: Final = 30
_ROUNDS: Final = 100
_PROJECTS: Final = (UUID(int=1), UUID(int=2))
_PROJECT: Final = _PROJECTS[0]
_PER_MESSAGE: Final = 4  # Accepted, delivered or not, opened, clicked.
_MESSAGES: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count,
                         accepted_at, expires_at, campaign, tags)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(1 + n % 2), 32, '0')::uuid,
           (CASE (n / 2) % 4 WHEN 0 THEN 'marketing' ELSE 'transactional' END)::stream,
           'news@d' || (n / 2) % 4 || '.example',
           '', 'Hi', '\\x00', 1, $1, $1::timestamptz + interval '9 days', 'c' || (n / 8) % 10, '["a"]'
      FROM generate_series(1, $2::int) AS n"""
_LOG: Final = """
    INSERT INTO event (at, project_id, message_id, recipient_id, kind, reason, facts)
    SELECT $1::timestamptz + (m % 24) * interval '1 hour', lpad(to_hex(1 + m % 2), 32, '0')::uuid,
           lpad(to_hex(m), 32, '0')::uuid, NULL,
           (CASE n % 4 WHEN 0 THEN 'accepted'
                       WHEN 1 THEN CASE WHEN m % 20 = 0 THEN 'bounced' ELSE 'delivered' END
                       WHEN 2 THEN 'opened' ELSE 'clicked' END),
           CASE WHEN m % 40 = 0 THEN 'recipient.invalid' ELSE '' END,
           CASE n % 4 WHEN 0 THEN '{}'::jsonb
                      WHEN 1 THEN jsonb_build_object('provider', 'p' || m % 5, 'source', 'out' || m % 3)
                      ELSE '{"first": true, "first_human": true}' END
      FROM (SELECT n, 1 + (n / 4) % $3::int AS m FROM generate_series(0, $2::int - 1) AS n) AS made"""


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Write, count, compare, ask."""
    for spread in (timedelta(days=3), timedelta(minutes=5)):
        async with temporary_dir() as path, opened(path) as store:
            async for line in _counted(store, _MAILS // 100 if is_quick else _MAILS, spread):
                yield line
    async with temporary_dir() as path, opened(path) as store:
        async for line in _asked(store, _EVENTS // 200 if is_quick else _EVENTS, 5 if is_quick else _ROUNDS):
            yield line


async def _counted(store: Store, mail_count: int, spread: timedelta) -> AsyncIterator[Line]:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    start = clock.now()
    async with store.transaction() as tx:
        await events.ensure_partitions(tx, start.date(), 6)
    expected = await write_fates(store, random.Random(9), count=mail_count, since=start, spread=spread)
    clock.advance(4 * 86_400)
    taken_s = await _count(store, clock)
    event_count = await _event_count(store)
    yield Line(
        name=f"figures counted, mail of {spread}",
        n=event_count,
        unit="event",
        rate=round(event_count / sum(taken_s), 1),
        p50_ms=lines.share_ms(taken_s, 0.5),
        p99_ms=lines.share_ms(taken_s, 0.99),
        facts={"mails": mail_count, "metrics": len(expected)},
    )
    began_s = perf_counter()
    found = await Recounter(store, clock=clock).recount(start, start + timedelta(days=5))
    assert found.differences == [], found.differences[:5]
    yield Line(
        name=f"figures counted again, mail of {spread}",
        n=event_count,
        unit="event",
        rate=round(event_count / (perf_counter() - began_s), 1),
        facts={"differences": len(found.differences), "days": found.days},
    )


async def _asked(store: Store, event_count: int, rounds: int) -> AsyncIterator[Line]:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    start, a_day = clock.now(), event_count // _DAYS
    message_count = a_day // _PER_MESSAGE
    async with store.transaction() as tx:
        await events.ensure_partitions(tx, start.date(), _DAYS + 1)
        await tx.execute(_MESSAGES, start, message_count)
        await tx.execute("ANALYZE message")
    end = Cursor(2**60)
    taken_s = []
    for begin in (start + timedelta(days=day) for day in range(_DAYS)):
        async with store.transaction() as tx:
            await tx.execute(_LOG, begin, a_day, message_count)
        began_s = perf_counter()
        async with store.transaction() as tx:
            await stats.replace(tx, end, _PROJECTS, (begin, begin + timedelta(days=1)))
        taken_s.append(perf_counter() - began_s)
    clock.advance(_DAYS * 86_400 - 1)
    async with store.transaction() as tx:
        for table in (*stats.TABLES.values(), *stats.INBOXES.values()):
            await tx.execute(f"ANALYZE {table}")
    count = await _event_count(store)
    yield Line(
        name="figures made of 30 days",
        n=count,
        unit="event",
        rate=round(count / sum(taken_s), 1),
        p50_ms=lines.share_ms(taken_s, 0.5),
        p99_ms=lines.share_ms(taken_s, 0.99),
    )
    for name, ask in _questions(Stats(store, clock=clock), clock.now()).items():
        await ask()
        taken_s = []
        for _ in range(rounds):
            began_s = perf_counter()
            await ask()
            taken_s.append(perf_counter() - began_s)
        yield Line(
            name=f"figures asked: {name}",
            n=rounds,
            unit="answer",
            rate=round(rounds / sum(taken_s), 1),
            p50_ms=lines.share_ms(taken_s, 0.5),
            p99_ms=lines.share_ms(taken_s, 0.99),
        )


def _questions(reader: Stats, now: datetime) -> dict[str, Callable[[], Awaitable[object]]]:
    hours = Span(unit="hour", since=now - timedelta(days=1), until=now)
    return {
        "both views of 30 days": lambda: reader.summary(_PROJECT),
        "both views of a day by the hour": lambda: reader.summary(_PROJECT, hours),
        "both views of a domain": lambda: reader.summary(_PROJECT, filters=Filters(domain="d1.example")),
        "both views of a campaign": lambda: reader.summary(_PROJECT, filters=Filters(campaign="c7")),
        "each domain": lambda: reader.read(_PROJECT, group="domain"),
        "each campaign": lambda: reader.read(_PROJECT, group="campaign"),
        "each provider": lambda: reader.read(_PROJECT, group="provider"),
    }


async def _count(store: Store, clock: FakeClock) -> list[float]:
    """Count all that is in the log; return how long each batch took."""
    keeper = StatKeeper(store, clock=clock, logger=make_logger(LogSettings(level="warning"), "bench"))
    taken_s: list[float] = []
    is_more = True
    while is_more:
        began_s = perf_counter()
        is_more = await keeper.count()
        taken_s.append(perf_counter() - began_s)
    return taken_s


async def _event_count(store: Store) -> int:
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT count(*) AS n FROM event")
    assert row is not None
    return int(row["n"])
