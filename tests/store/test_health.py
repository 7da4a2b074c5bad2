"""What the database says of itself and of the queue."""

from datetime import timedelta

import asyncpg

from outrider.store import health
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.queueroom import QueueRoom


async def test_the_server_says_what_it_is(store: Store) -> None:
    async with store.transaction() as tx:
        seen = await health.server(tx)
        assert abs((await health.now(tx)).timestamp() - (await health.now(tx)).timestamp()) < 5
    assert seen.version.split(".")[0] in ("16", "18")
    assert (seen.is_standby, seen.size_bytes > 1_000_000) == (False, True)
    assert 1 <= seen.connections_count <= seen.connections_max


async def test_a_transaction_that_is_open_is_seen_and_ours_is_not(store: Store, database_url: str) -> None:
    async with store.transaction() as tx:
        assert (await health.server(tx)).longest_s == 0.0
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT 1")
        async with store.transaction() as tx:
            seen = await health.server(tx)
    await other.close()
    assert (seen.longest_s > 0, seen.long_count) == (True, 0)


async def test_a_database_of_ours_has_its_version_and_an_empty_one_none(store: Store) -> None:
    async with store.transaction() as tx:
        assert await health.version(tx) == health.HEAD
        await tx.execute("DROP TABLE alembic_version")
        assert await health.version(tx) is None


async def test_days_with_partitions_are_counted_on_end(store: Store, clock: FakeClock) -> None:
    today = clock.now().date()
    async with store.transaction() as tx:
        assert await health.days_ahead(tx, today) == 6
        assert await health.days_ahead(tx, today + timedelta(days=6)) == 0
        assert await health.days_ahead(tx, today + timedelta(days=7)) == -1
        await tx.execute(f"DROP TABLE event_{today + timedelta(days=2):%Y%m%d}")
        assert await health.days_ahead(tx, today) == 1


async def test_the_first_that_could_go_is_found_past_what_waits(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    now, later = clock.now(), clock.now() + timedelta(hours=1)
    async with store.transaction() as tx:
        seen = await health.queue(tx, now=now, count_max=100)
        assert (seen.count, seen.due_at, seen.paused_count, seen.held_count) == (0, None, 0, 0)
    paused = await queueroom.lane(paused_until=later)
    await queueroom.mail(paused, 2, due_at=now - timedelta(hours=5))
    held = await queueroom.lane(hold_id=queueroom.new_id())
    await queueroom.mail(held, due_at=now - timedelta(hours=4))
    await queueroom.mail(await queueroom.lane(), due_at=later)
    async with store.transaction() as tx:
        seen = await health.queue(tx, now=now, count_max=100)
    assert (seen.count, seen.due_at, seen.paused_count, seen.held_count) == (4, None, 1, 1)
    await queueroom.mail(await queueroom.lane(paused_until=now), due_at=now - timedelta(minutes=1))
    await queueroom.mail(await queueroom.lane(), 3, due_at=now - timedelta(minutes=2))
    async with store.transaction() as tx:
        seen = await health.queue(tx, now=now, count_max=5)
    assert (seen.count, seen.due_at) == (5, now - timedelta(minutes=2)), "counted up to the bound"
