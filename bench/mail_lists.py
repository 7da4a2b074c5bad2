"""What does a list of mails cost?

A project with 300,000 messages of one recipient each, on an embedded server without fsync. The first page, then pages
whose filter nothing matches: those look at as many messages as a page may. What an index on addresses would cost
instead is in `event_feed`.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import UUID

from bench import lines
from bench.lines import Line
from bench.rig import temporary_dir
from outrider.store import mail_views, migrate
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.mail_views import Filters, Place
from outrider.store.pool import Store
from outrider.store.settings import EmbeddedSettings, StoreSettings
from outrider.testing.clock import RealClock

_COUNT: Final = 300_000
_ROUNDS: Final = 30
_PROJECT: Final = UUID(int=1)
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NO_SYNC: Final = {"fsync": "off", "synchronous_commit": "off"}
_MESSAGES: Final = """
    INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count,
                         accepted_at, expires_at, tags)
    SELECT lpad(to_hex(n), 32, '0')::uuid, $1, 'transactional', 'noreply@shop.example', 'Shop', 'Order ' || n, '\\x00',
           1, $2::timestamptz + n * interval '1 second', $2::timestamptz + interval '9 days', '["order"]'
      FROM generate_series(1, $3::int) AS n"""
_RECIPIENTS: Final = """
    INSERT INTO recipient (recipient_id, message_id, project_id, address, updated_at)
    SELECT ('f' || lpad(to_hex(n), 31, '0'))::uuid, lpad(to_hex(n), 32, '0')::uuid, $1, 'u' || n || '@a.example', $2
      FROM generate_series(1, $3::int) AS n"""
_WANTED: Final = {
    "first page": Filters(),
    "tag of none": Filters(tag="refund"),
    "subject of none": Filters(subject="invoice"),
    "recipient of none": Filters(recipient="nobody@a.example"),
}


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Fill a database and ask."""
    count = _COUNT // 10 if is_quick else _COUNT
    rounds = _ROUNDS // 10 if is_quick else _ROUNDS
    async with temporary_dir() as path, _filled(path, count) as store:
        newest = Place(_AT + timedelta(days=365), UUID(int=0))
        for name, filters in _WANTED.items():

            async def ask(filters: Filters = filters) -> None:
                async with store.transaction() as tx:
                    await mail_views.page(tx, _PROJECT, filters, newest, count_max=25)

            yield await _line(f"mail_lists {name}", "page", rounds, ask)


async def _line(name: str, unit: str, rounds: int, work: Callable[[], Awaitable[None]]) -> Line:
    for _ in range(7):  # PostgreSQL settles on a plan at the sixth execution.
        await work()
    taken_s: list[float] = []
    for _ in range(rounds):
        started_s = perf_counter()
        await work()
        taken_s.append(perf_counter() - started_s)
    return Line(
        name=name,
        n=rounds,
        unit=unit,
        rate=round(rounds / sum(taken_s), 1),
        p50_ms=lines.share_ms(taken_s, 0.5),
        p99_ms=lines.share_ms(taken_s, 0.99),
    )


@contextlib.asynccontextmanager
async def _filled(path: Path, count: int) -> AsyncIterator[Store]:
    async with opened(path) as store:
        async with store.transaction() as tx:
            await tx.execute(_MESSAGES, _PROJECT, _AT, count)
            await tx.execute(_RECIPIENTS, _PROJECT, _AT, count)
            await tx.execute("ANALYZE")
        yield store


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    """Yield an open store of one connection on a new embedded server below `path`, without fsync."""
    server = EmbeddedPostgres(path, EmbeddedSettings(), clock=RealClock(), overrides=_NO_SYNC, dies_with_us=True)
    dsn = await server.start()
    try:
        await migrate.upgrade(dsn)
        async with Store(dsn, StoreSettings(pool_size=1)) as store:
            yield store
    finally:
        await server.stop()
