"""The keeper of figures: several at once and one that dies count everything once; what cannot be told is refused."""

import asyncio
from datetime import datetime, timedelta

import pytest

from outrider.base.errors import CallerError
from outrider.services.stats import Filters, Span, StatKeeper, Stats
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom, Journal

pytestmark = pytest.mark.newest


@pytest.fixture
def stats(store: Store, clock: FakeClock) -> Stats:
    return Stats(store, clock=clock)


async def test_several_keepers_count_everything_once(
    room: EngineRoom, store: Store, stats: Stats, clock: FakeClock
) -> None:
    keepers = [StatKeeper(store, clock=clock, logger=Journal().logger) for _ in range(3)]
    for number in range(20):
        await room.send(f"u{number}@a.example", f"v{number}@a.example")
        await asyncio.gather(*(one.count() for one in keepers))
    await keepers[0].count()
    (figure,) = await stats.read(PROJECT)
    assert (figure.metric, figure.count, figure.name) == ("accepted", 40, "")
    assert figure.at == clock.now().replace(hour=0, minute=0, second=0, microsecond=0)


async def test_hours_and_days_are_whole(room: EngineRoom, store: Store, stats: Stats, clock: FakeClock) -> None:
    keeper = StatKeeper(store, clock=clock, logger=Journal().logger)
    for _ in range(3):
        await room.send("ann@a.example")
        clock.advance(3600)
    await keeper.count()
    hours = await stats.read(PROJECT, Span(unit="hour"))
    assert [one.count for one in hours] == [1, 1, 1]
    assert {one.at.minute for one in hours} == {0}
    assert (
        sum(one.count for one in await stats.read(PROJECT, Span(since=hours[1].at + timedelta(minutes=5), unit="hour")))
        == 2
    )


async def test_what_cannot_be_told_is_refused(stats: Stats, clock: FakeClock) -> None:
    now = clock.now()
    for span, filters, field in (
        (Span(since=datetime(2026, 1, 1)), Filters(), "since"),  # noqa: DTZ001 - without a zone.
        (Span(since=now, until=now), Filters(), "since"),
        (Span(since=now - timedelta(days=33), unit="hour"), Filters(), "since"),
        (Span(since=now - timedelta(days=2), unit="minute"), Filters(), "since"),
        (Span(since=now - timedelta(days=500)), Filters(), "since"),
        (Span(), Filters(tag="\x00"), "tag"),
        (Span(), Filters(tag="a", provider="gmail"), "tag"),
    ):
        with pytest.raises(CallerError) as caught:
            await stats.read(PROJECT, span, filters)
        assert caught.value.field == field
