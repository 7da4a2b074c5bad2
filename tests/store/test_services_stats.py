"""The keeper of figures: several at once and one that dies count everything once; what cannot be told is refused."""

import asyncio
from datetime import datetime, timedelta

import pytest

from outrider.base.errors import CallerError
from outrider.policy import figures
from outrider.services import stats as services_stats
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


_BUSY = """
    INSERT INTO figure_minute (project_id, dimension, at, name, stream, sender_domain, campaign, {metrics})
    SELECT $1, dimension, $2::timestamptz - n * interval '1 minute',
           CASE dimension WHEN 'total' THEN '' ELSE 'p' || n % 9 END, 'marketing', 'a.example', '', {ones}
      FROM generate_series(0, $3::int - 1) AS n, unnest(ARRAY['total', 'provider']) AS dimension"""


async def test_a_day_by_the_minute_is_told_whatever_happened_in_it(
    store: Store, stats: Stats, clock: FakeClock
) -> None:
    sql = _BUSY.format(metrics=", ".join(figures.METRICS), ones=", ".join("1" for _ in figures.METRICS))
    async with store.transaction() as tx:
        await tx.execute(sql, PROJECT, clock.now().replace(second=0, microsecond=0), 1_441)
    day = Span(since=clock.now() - timedelta(days=1), until=clock.now(), unit="minute")
    assert len((await stats.summary(PROJECT, day)).rows) >= 1_440
    for group in ("", "provider"):
        assert len(await stats.read(PROJECT, day, group=group)) >= 1_440 * len(figures.METRICS)


async def test_more_rows_than_an_answer_holds_are_refused(
    store: Store, stats: Stats, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = _BUSY.format(metrics="delivered, opens", ones="1, 1")
    async with store.transaction() as tx:
        await tx.execute(sql, PROJECT, clock.now(), 3)
    span = Span(unit="minute")
    for rows_count_max, is_told in ((3, True), (2, False)):
        monkeypatch.setattr(services_stats, "ROWS_COUNT_MAX", rows_count_max)
        if is_told:
            assert len(await stats.read(PROJECT, span)) == 6
        else:
            with pytest.raises(CallerError):
                await stats.read(PROJECT, span)


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
