"""What is over is deleted, and nothing that is still needed: mail that waits, contents that somebody uses now."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import StoreError
from outrider.base.vocab import EventKind
from outrider.store import events, messages, projects, retention
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom
from outrider.testing.mailroom import WAIT_S, Mailroom

DAY_S = 86_400.0
BODILESS = "message m LEFT JOIN content c USING (project_id, content_hash) WHERE c.body IS NULL"
LONG_DAILY = "UPDATE project SET contents_daily_since = '2025-01-01' WHERE project_id = $1"


async def finish(store: Store, project_id: UUID) -> None:
    async with store.transaction() as tx:
        await tx.execute("UPDATE recipient SET status = 'delivered' WHERE project_id = $1", project_id)


async def count(store: Store, table: str) -> int:
    async with store.transaction() as tx:
        row = await tx.fetch_row(f"SELECT count(*) AS n FROM {table}")
    assert row is not None
    return int(row["n"])


async def daily(store: Store, clock: FakeClock) -> None:
    """Let the engine room's project be one whose contents were always of a day."""
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
        await tx.execute(LONG_DAILY, PROJECT)


async def test_mail_goes_with_its_recipients_unless_it_waits(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id, other = await mailroom.project(), await mailroom.project("other")
    await mailroom.mail(project_id, ["ann@a.example", "bob@a.example"])
    await mailroom.mail(other, ["ann@a.example"])
    await finish(store, project_id)
    await finish(store, other)
    waiting = await mailroom.mail(project_id, ["cid@a.example"])
    clock.advance(60)
    async with store.transaction() as tx:
        assert await retention.forget_mail(tx, project_id, clock.now(), now=clock.now(), count_max=10) == 1
        assert await retention.forget_mail(tx, project_id, clock.now(), now=clock.now(), count_max=10) == 0
        assert await messages.by_id(tx, project_id, waiting.message.message_id) is not None
    assert (await count(store, "message"), await count(store, "recipient")) == (2, 2)


async def test_events_go_a_batch_at_a_time(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    ours, theirs = await mailroom.project(), await mailroom.project("other")
    for project_id in (ours, theirs):
        for _ in range(5):
            clock.advance(1)
            one = NewEvent(clock.now(), project_id, UUID(int=3), None, EventKind.DEFERRED)
            async with store.transaction() as tx:
                await events.append(tx, [one])
    async with store.transaction() as tx:
        counts = [await retention.forget_events(tx, ours, clock.now(), count_max=2) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    assert await count(store, "event") == 5


async def test_a_content_is_of_a_day_and_goes_after_the_mail_of_that_day(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    await daily(store, clock)
    await room.send("ann@a.example")
    await room.send("bob@a.example")
    assert await count(store, "content") == 1
    clock.advance(DAY_S)
    kept = await room.send("ann@a.example")
    assert await count(store, "content") == 2
    clock.advance(3 * DAY_S)

    async def forget() -> int:
        async with store.transaction() as tx:
            return await retention.forget_contents(tx, PROJECT, now=clock.now(), count_max=10)

    assert await forget() == 0
    await finish(store, PROJECT)
    async with store.transaction() as tx:
        await retention.forget_mail(
            tx, PROJECT, clock.now() - timedelta(days=3, hours=1), now=clock.now(), count_max=10
        )
    assert await forget() == 0  # Of the day before the oldest mail: clocks may differ.
    async with store.transaction() as tx:
        assert (await messages.load(tx, [kept])).keys() == {kept}
        await retention.forget_mail(tx, PROJECT, clock.now(), now=clock.now(), count_max=10)
    assert await forget() == 2


async def test_before_contents_were_of_a_day_none_goes(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
        await tx.execute(LONG_DAILY.replace("2025-01-01", "2026-01-03"), PROJECT)
    await room.send("ann@a.example")
    await finish(store, PROJECT)
    clock.advance(4 * DAY_S)
    async with store.transaction() as tx:
        await retention.forget_mail(tx, PROJECT, clock.now(), now=clock.now(), count_max=10)
        assert await retention.forget_contents(tx, PROJECT, now=clock.now(), count_max=10) == 0
    clock.advance(3 * DAY_S)
    async with store.transaction() as tx:
        assert await retention.forget_contents(tx, PROJECT, now=clock.now(), count_max=10) == 1


async def test_mail_accepted_while_its_content_is_looked_at_keeps_its_body(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    """The same content over and over, its older mail deleted all the time, days going by: no mail is without a body."""
    await daily(store, clock)
    stopping = asyncio.Event()

    async def delete() -> None:
        while not stopping.is_set():
            async with store.transaction() as tx:
                await tx.execute("UPDATE recipient SET status = 'delivered' WHERE project_id = $1", PROJECT)
                await retention.forget_mail(tx, PROJECT, clock.now(), now=clock.now(), count_max=50)
            async with store.transaction() as tx:
                await retention.forget_contents(tx, PROJECT, now=clock.now(), count_max=50)

    async with asyncio.timeout(2 * WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(delete())
        for _ in range(40):
            clock.advance(DAY_S / 8)
            for number in range(3):
                await room.send(f"u{number}@a.example")
                assert await count(store, BODILESS) == 0
        stopping.set()
    assert await count(store, BODILESS) == 0
    assert await count(store, "content") <= 4  # Of 5 days; the first ones are gone.


async def test_days_of_the_log_are_dropped_and_a_consumer_that_was_there_goes_on(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id = await mailroom.project()

    async def write() -> None:
        async with store.transaction() as tx:
            await events.append(tx, [NewEvent(clock.now(), project_id, UUID(int=3), None, EventKind.DEFERRED)])

    await write()
    async with store.transaction() as tx:
        (first,) = await events.after(tx, events.Cursor(), count_max=10)
    clock.advance(2 * DAY_S)
    await write()
    async with store.transaction() as tx:
        over = await retention.days_before(tx, clock.now().date())
        assert len(over) == 3  # Upkeep's yesterday, too.
        for day in over:
            await retention.drop_day(tx, day)
    async with store.transaction() as tx:
        assert await retention.days_before(tx, clock.now().date()) == []
        for cursor in (events.Cursor(), first.cursor):
            assert len(await events.after(tx, cursor, count_max=10)) == 1


async def test_who_writes_to_the_log_is_not_waited_for_long(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    one = NewEvent(clock.now(), await mailroom.project(), UUID(int=3), None, EventKind.DEFERRED)
    async with asyncio.timeout(WAIT_S), store.transaction() as writing:
        await events.append(writing, [one])
        with pytest.raises(StoreError):
            async with store.transaction() as tx:
                await retention.drop_day(tx, clock.now().date())
    assert await count(store, "event") == 1


async def test_what_a_project_said_is_kept(store: Store, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()
    async with store.transaction() as tx:
        assert await retention.days_of(tx, project_id) is None
        await retention.set_days(tx, project_id, 7)
        assert await retention.days_of(tx, project_id) == 7
        assert (await retention.all_days(tx))[project_id] == 7
