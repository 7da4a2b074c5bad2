"""What does reading one project's events cost without an index for it, and what would that index cost every mail?

An embedded server without fsync. 300,000 events of others lie before the reader: a page looks at as many as it may and
finds nothing, a stream's look for news at as many as it may, and the counter of figures counts a batch of them. Then
events are written a thousand at a time, in turns into a table as it is and into one with an index on project and place.

The same in turns for recipients and an index on addresses (`store/mail_views.py` goes without). CPU is the database's.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Final
from uuid import UUID

from bench import lines
from bench.lines import Line
from bench.mail_lists import opened
from bench.rig import temporary_dir
from outrider.base import ids
from outrider.store import events, project_feed, stats
from outrider.store.events import Cursor
from outrider.store.pool import Store
from outrider.store.project_feed import Position
from outrider.testing import usage

_COUNT: Final = 300_000
_ROUNDS: Final = 200
_BATCH_COUNT: Final = 1_000
_STAT_COUNT: Final = 10_000
_OURS, _THEIRS = UUID(int=1), UUID(int=2)
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MESSAGES: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count,
                         accepted_at, expires_at, tags)
    SELECT lpad(to_hex(n), 32, '0')::uuid, $1, 'transactional', 'noreply@shop.example', 'Shop', 'Order ' || n, '\\x00',
           1, $2::timestamptz, $2::timestamptz + interval '9 days', '["order"]'
      FROM generate_series(1, $3::int) AS n"""
_EVENTS: Final = """
    INSERT INTO event (at, project_id, message_id, kind, facts)
    SELECT $2::timestamptz + n * interval '100 ms', $1, lpad(to_hex(n), 32, '0')::uuid, 'accepted',
           '{"recipient_count": 1, "rejected_count": 0}'
      FROM generate_series(1, $3::int) AS n"""
_COPIES: Final = (
    "CREATE TABLE event_plain (LIKE event INCLUDING ALL)",
    "CREATE TABLE event_indexed (LIKE event INCLUDING ALL)",
    "CREATE INDEX ON event_indexed (project_id, xid, event_id)",
    "CREATE TABLE recipient_plain (LIKE recipient INCLUDING ALL)",
    "CREATE TABLE recipient_indexed (LIKE recipient INCLUDING ALL)",
    "CREATE INDEX ON recipient_indexed (project_id, lower(address))",
)
_PUT_EVENTS: Final = """
    INSERT INTO {table} (at, project_id, message_id, kind, facts)
    SELECT $2, project_id, message_id, 'accepted', '{{"recipient_count": 1, "rejected_count": 0}}'
      FROM unnest($1::uuid[], $3::uuid[]) AS given(message_id, project_id)"""
_PUT_RECIPIENTS: Final = """
    INSERT INTO {table} (recipient_id, message_id, project_id, address, updated_at)
    SELECT recipient_id, recipient_id, project_id, address, $2
      FROM unnest($1::uuid[], $3::uuid[], $4::text[]) AS given(recipient_id, project_id, address)"""

Work = Mapping[str, Callable[[], Awaitable[None]]]


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Fill a database, read and write."""
    count = _COUNT // 10 if is_quick else _COUNT
    rounds = _ROUNDS // 20 if is_quick else _ROUNDS
    async with temporary_dir() as path, opened(path) as store:
        async with store.transaction() as tx:
            await events.ensure_partitions(tx, _AT.date(), 2)
            await tx.execute(_MESSAGES, _THEIRS, _AT, count)
        async with store.transaction() as tx:
            await tx.execute(_EVENTS, _THEIRS, _AT, count)
        async with store.transaction() as tx:
            for sql in ("ANALYZE message", "ANALYZE event", *_COPIES):
                await tx.execute(sql)
        for name, work in _readings(store).items():
            async for line in _lines(store, {name: work}, max(rounds // 4, 5)):
                yield line
        for kind, make in (("event", _events_into), ("recipient", _recipients_into)):
            pair = {f"insert {kind}, {how}": make(store, f"{kind}_{how}") for how in ("plain", "indexed")}
            async for line in _lines(store, pair, rounds):
                yield line


def _readings(store: Store) -> Work:
    start = Position(Cursor(), _AT, _AT)

    async def page() -> None:
        async with store.transaction() as tx:
            found = await project_feed.page(tx, _OURS, start, count_max=100)
        assert not found.events

    async def news() -> None:
        async with store.transaction() as tx:
            await project_feed.news(tx, start)

    async def count() -> None:
        async with store.transaction() as tx:
            _, counted = await stats.count(tx, Cursor(), since=_AT - timedelta(days=1), count_max=_STAT_COUNT)
        assert counted == _STAT_COUNT

    return {"page of 20,000 of others": page, "news of 5,000": news, "count 10,000 into figures": count}


def _events_into(store: Store, table: str) -> Callable[[], Awaitable[None]]:
    async def put() -> None:
        async with store.transaction() as tx:
            await tx.execute(_PUT_EVENTS.format(table=table), _new_ids(), _AT, _projects())

    return put


def _recipients_into(store: Store, table: str) -> Callable[[], Awaitable[None]]:
    async def put() -> None:
        chance = random.SystemRandom()
        addresses = [f"user{chance.getrandbits(40)}@route{n % 10}.example" for n in range(_BATCH_COUNT)]
        async with store.transaction() as tx:
            await tx.execute(_PUT_RECIPIENTS.format(table=table), _new_ids(), _AT, _projects(), addresses)

    return put


def _new_ids() -> list[UUID]:
    chance, now = random.SystemRandom(), datetime.now(UTC)  # noqa: TID251 - benchmarks have the real clock.
    return [ids.uuid7(now, chance.getrandbits(74)) for _ in range(_BATCH_COUNT)]


def _projects() -> list[UUID]:
    """Return a project for each row: a hundred, of which every commit has some."""
    return [UUID(int=random.randrange(100)) for _ in range(_BATCH_COUNT)]


async def _lines(store: Store, works: Work, rounds: int) -> AsyncIterator[Line]:
    """Do these in turns, so that whatever else the machine does falls on all alike."""
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT pg_backend_pid() AS pid")
    assert row is not None
    taken_s: dict[str, list[float]] = {name: [] for name in works}
    cpu_s = dict.fromkeys(works, 0.0)
    for at in range(rounds + 7):  # PostgreSQL settles on a plan at the sixth execution.
        for name, work in works.items():
            started_s, spent_s = perf_counter(), usage.measure_one(row["pid"]).cpu_s
            await work()
            if at >= 7:
                taken_s[name].append(perf_counter() - started_s)
                cpu_s[name] += usage.measure_one(row["pid"]).cpu_s - spent_s
    for name, taken in taken_s.items():
        yield Line(
            name=f"event_feed {name}",
            n=rounds,
            unit="transaction",
            rate=round(rounds / sum(taken), 1),
            p50_ms=lines.share_ms(taken, 0.5),
            p99_ms=lines.share_ms(taken, 0.99),
            cpu_us={"postgres": round(cpu_s[name] / rounds * 1e6, 1)},
        )
