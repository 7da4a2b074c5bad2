"""A database of before with counted mail: its figures are carried over, and a recount agrees with them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from outrider.services.recount import Recounter
from outrider.services.stats import Filters, Stats
from outrider.store import migrate
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.postgres import ThrowawayPostgres

AT = datetime(2025, 12, 1, 12, 30, tzinfo=UTC)
PROJECT, MESSAGE, RECIPIENT = UUID(int=1), UUID(int=2), UUID(int=3)
# What version 0015 counted of the mail below: a metric, and whether an attempt or what followed it is known to have a
# provider and an address.
METRICS = {
    "accepted": False,
    "delivered": True,
    **dict.fromkeys(("opens", "opens_unique", "opens_human", "opens_human_unique"), True),
}
MAIL = """
INSERT INTO project (project_id, name, created_at) VALUES ($1, 'shop', $4);
INSERT INTO message (message_id, project_id, stream, sender, from_name, subject, content_hash, recipient_count,
                     accepted_at, expires_at, campaign, tags, template_id)
VALUES ($2, $1, 'marketing', 'news@shop.example', '', 'Hello', '\\x00', 1, $4, $4, 'spring', '["new"]', 'welcome');
INSERT INTO recipient (recipient_id, message_id, project_id, address, status, updated_at, provider, source)
VALUES ($3, $2, $1, 'ann@a.example', 'delivered', $4, 'gmail', '192.0.2.1');
CREATE TABLE event_20251201 PARTITION OF event FOR VALUES FROM ('2025-12-01') TO ('2025-12-02');
INSERT INTO event (at, project_id, message_id, recipient_id, kind, facts)
VALUES ($4, $1, $2, NULL, 'accepted', '{}'),
       ($4::timestamptz + interval '0.11 seconds', $1, $2, $3, 'delivered',
        '{"provider": "gmail", "source": "192.0.2.1"}'),
       ($4::timestamptz + interval '9 seconds', $1, $2, $3, 'opened', '{"first": true, "first_human": true}');
INSERT INTO feed_cursor (consumer, xid, event_id) SELECT 'figures', max(xid), max(event_id) FROM event"""


@pytest.fixture
async def old_url(postgres: ThrowawayPostgres) -> AsyncIterator[str]:
    """Give the address of a database as version 0015 left it."""
    connection = await asyncpg.connect(postgres.dsn_of("postgres", user="postgres"))
    await connection.execute("CREATE DATABASE counted OWNER outrider TEMPLATE template0")
    await connection.close()
    dsn = postgres.dsn_of("counted")
    await migrate._run_alembic(dsn, "0015")
    await fill(dsn)
    yield dsn
    await postgres.drop(dsn)


async def fill(dsn: str) -> None:
    """Write one mail, what became of it, and what was counted."""
    connection = await asyncpg.connect(dsn)
    literals = {f"${number}": f"'{value}'" for number, value in enumerate((PROJECT, MESSAGE, RECIPIENT, AT), 1)}
    script = MAIL
    for name, literal in literals.items():
        script = script.replace(name, literal)
    await connection.execute(script)
    rows = [(*part, metric) for metric, is_placed in METRICS.items() for part in parts(is_placed=is_placed)]
    rows += [(dimension, name, "", "inbox_01") for dimension, name in PLACES]
    for unit in ("minute", "hour", "day"):
        await connection.executemany(
            f"""INSERT INTO figure_{unit}
                       (project_id, at, dimension, name, stream, sender_domain, campaign, metric, count)
                VALUES ($1, date_trunc('{unit}', $2::timestamptz, 'UTC'), $3, $4, 'marketing', 'shop.example', $5, $6,
                        1)""",
            [(PROJECT, AT, *row) for row in rows],
        )
    await connection.close()


PLACES = (("total", ""), ("provider", "gmail"), ("ip", "192.0.2.1"))


def parts(*, is_placed: bool) -> list[tuple[str, str, str]]:
    """Return the dimension, name and campaign of each row of a metric."""
    named = [("template", "welcome"), ("tag", "new"), *(PLACES[1:] if is_placed else ())]
    return [("", "", "spring"), ("total", "", ""), *((dimension, name, "spring") for dimension, name in named)]


async def test_what_was_counted_stays_and_is_what_a_recount_finds(old_url: str) -> None:
    await migrate.upgrade(old_url)
    clock = FakeClock(AT + timedelta(hours=6))
    async with Store(old_url, StoreSettings()) as store:
        stats = Stats(store, clock=clock)
        summary = await stats.summary(PROJECT)
        assert (summary.delivery.requests, summary.delivery.delivered, summary.tracking.opens_human_unique) == (1, 1, 1)
        assert summary.inbox is not None
        assert summary.inbox.deliveries == 1
        for group, name in (("campaign", "spring"), ("template", "welcome"), ("tag", "new"), ("provider", "gmail")):
            found = await stats.read(PROJECT, group=group)
            assert {(one.name, one.count) for one in found if one.metric == "opens"} == {(name, 1)}, group
        assert (await stats.summary(PROJECT, filters=Filters(campaign="spring"))).delivery.requests == 1
        recounter = Recounter(store, clock=clock)
        assert (await recounter.recount()).differences == []
        async with store.transaction() as tx:
            await tx.execute("UPDATE inbox_day SET count = 2 WHERE project_id = $1 AND dimension = 'ip'", PROJECT)
        assert len((await recounter.recount()).differences) == 1, "the day is not looked at"
