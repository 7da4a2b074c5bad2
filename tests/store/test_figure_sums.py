"""Sums of figures: of the time asked for, of one project or several, by stream, domain, campaign and part."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from outrider.base.vocab import EventKind, Stream
from outrider.store import events, figure_sums
from outrider.store.events import NewEvent
from outrider.store.figure_sums import Which
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT
from tests.store.figuring import catch_up, count

METRICS = ["delivered", "complained"]


async def test_sums_are_of_what_was_asked(store: Store, clock: FakeClock) -> None:
    now = clock.now()
    await count(store, now, {"delivered": 5, "complained": 1, "deferred": 7})
    await count(store, now, {"delivered": 3}, stream="transactional", campaign="spring")
    await count(store, now, {"delivered": 2}, project_id=OTHER_PROJECT, domain="other.example")
    await count(store, now, {"delivered": 4}, dimension="provider", name="gmail")

    async def of(*ids: UUID, **more: Any) -> dict[str, int]:
        which = Which(since=now - timedelta(hours=1), until=now, **more)
        async with store.transaction() as tx:
            return dict(await figure_sums.sums(tx, ids or [PROJECT], METRICS, which))

    assert await of() == {"delivered": 8, "complained": 1}
    assert await of(PROJECT, OTHER_PROJECT) == {"delivered": 10, "complained": 1}
    assert await of(stream=Stream.TRANSACTIONAL) == {"delivered": 3}
    assert await of(campaign="spring") == {"delivered": 3}
    assert await of(domain="other.example") == {}
    assert await of(dimension="provider", name="gmail") == {"delivered": 4}


async def test_each_length_of_time_is_counted_once(store: Store, clock: FakeClock) -> None:
    now = clock.now()
    for hours_ago in (0, 2, 30, 200, 600):
        await count(store, now - timedelta(hours=hours_ago), {"delivered": 1}, dimension="ip", name="192.0.2.1")

    async def of(hours: int) -> object:
        which = Which(since=now - timedelta(hours=hours), until=now, dimension="ip", name="192.0.2.1")
        async with store.transaction() as tx:
            sums = await figure_sums.sums(tx, [PROJECT], METRICS, which)
            by_name = await figure_sums.by_name(tx, [PROJECT], METRICS, which)
        assert by_name == {"192.0.2.1": sums}
        return sums["delivered"]

    assert [await of(hours) for hours in (1, 3, 24, 100, 24 * 30)] == [1, 2, 2, 3, 5]


async def test_they_are_late_until_they_are_counted(store: Store, clock: FakeClock) -> None:
    start = clock.now()

    async def are_late(*, before_s: float = 3600) -> bool:
        async with store.transaction() as tx:
            return await figure_sums.are_late(tx, start + timedelta(seconds=before_s))

    assert await are_late()  # Nobody ever counted, though there was nothing.
    await catch_up(store)
    assert not await are_late()
    async with store.transaction() as tx:
        await events.append(tx, [NewEvent(start, PROJECT, events.NIL, None, EventKind.ALERT_RAISED)])
    assert await are_late()
    assert not await are_late(before_s=0)
    await catch_up(store)
    assert not await are_late()
