"""Figures: every event is counted once, in its hour, under each of its tags, and for its project alone."""

from datetime import timedelta
from uuid import UUID

from outrider.base.vocab import EventKind
from outrider.store import events, stats
from outrider.store.events import Cursor, NewEvent
from outrider.store.pool import Store
from outrider.store.stats import Asked
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, EngineRoom

LONG_AGO = timedelta(days=30)


async def count(store: Store, clock: FakeClock, cursor: Cursor, count_max: int) -> tuple[Cursor, int]:
    async with store.transaction() as tx:
        return await stats.count(tx, cursor, since=clock.now() - LONG_AGO, count_max=count_max)


async def totals(
    store: Store, clock: FakeClock, project_id: UUID = PROJECT, **asked: str
) -> dict[tuple[str, str], int]:
    wanted = {"unit": "hour"} | asked
    if wanted.get("group") == "tag":
        wanted["dimension"] = "tag"
    async with store.transaction() as tx:
        found = await stats.read(
            tx,
            project_id,
            Asked(since=clock.now() - LONG_AGO, until=clock.now() + LONG_AGO, **wanted),  # type: ignore[arg-type]
            rows_count_max=100,
        )
    return {(one.name, one.metric): one.count for one in found}


async def test_everything_is_counted_once(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    await room.send("ann@a.example", "bob@b.example", tags=("x", "y"))
    session = await room.send("cat@c.example", tags=("x",))
    async with store.transaction() as tx:
        happened = NewEvent(clock.now(), PROJECT, session, None, EventKind.BOUNCED)
        of_no_mail = (EventKind.DOMAIN_PASSED, EventKind.UNSUBSCRIBED)
        await events.append(
            tx, [happened, *(NewEvent(clock.now(), PROJECT, events.NIL, None, one) for one in of_no_mail)]
        )
    cursor, seen = Cursor(), 0
    while True:
        cursor, counted = await count(store, clock, cursor, 1)
        seen += counted
        if not counted:
            break
    assert seen == 5
    assert await totals(store, clock) == {("", "accepted"): 3, ("", "bounced"): 1, ("", "bounced_soft"): 1}
    assert await totals(store, clock, group="tag") == {
        ("x", "accepted"): 3,
        ("x", "bounced"): 1,
        ("x", "bounced_soft"): 1,
        ("y", "accepted"): 2,
    }
    assert await totals(store, clock, group="stream") == {
        ("transactional", "accepted"): 3,
        ("transactional", "bounced"): 1,
        ("transactional", "bounced_soft"): 1,
    }
    assert await totals(store, clock, OTHER_PROJECT) == {}


async def test_one_counts_at_a_time(store: Store) -> None:
    async with store.transaction() as one:
        assert await stats.take_turn(one)
        async with store.transaction() as other:
            assert not await stats.take_turn(other)
    async with store.transaction() as other:
        assert await stats.take_turn(other)


async def test_old_figures_are_forgotten(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    await room.send("ann@a.example")
    await count(store, clock, Cursor(), 100)
    async with store.transaction() as tx:
        await stats.forget(tx, "hour", clock.now() - timedelta(hours=1))
    assert await totals(store, clock) == {("", "accepted"): 1}
    async with store.transaction() as tx:
        await stats.forget(tx, "hour", clock.now() + timedelta(hours=1))
    assert await totals(store, clock) == {}
