"""Warm-up at work: ten days of figures move the stages, a restart changes nothing, several judges move once."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from outrider.base.errors import CallerError, ConfigError
from outrider.base.vocab import WaitKind
from outrider.engine.service import Part
from outrider.engine.warmup import WarmupBook, WarmupJudge, WarmupView, set_stage, views
from outrider.policy.throttle import Ceiling
from outrider.policy.warmup import Figures, Plan, make_plans
from outrider.store import egress, lanes, warmups
from outrider.store.egress import Egress
from outrider.store.lanes import GivenBack, Pause
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.store.warmups import Warmup
from outrider.testing.clock import FakeClock, turns
from outrider.testing.engineroom import Journal
from outrider.testing.mailroom import WAIT_S
from outrider.testing.queueroom import QueueRoom

STAGES = (100, 200, 400, 800, 1_600)
PLANS = make_plans(
    {
        "mine": Plan(stages=STAGES),
        "slow": Plan(stages=(50, 100, 150, 200, 300)),
        "big": Plan(stages=(1_000, 2_000), providers=("gmail",)),
    }
)
SOURCES = {"out1": "mine", "big1": "big"}
DAY_S = 86_400.0


class Station:
    """A node's judge and book on one database, and the traffic they judge."""

    def __init__(self, store: Store, clock: FakeClock, sources: dict[str, str] | None = None) -> None:
        self.store = store
        self.clock = clock
        self.journal = Journal()
        chosen = SOURCES if sources is None else sources
        self.judge = WarmupJudge(store, PLANS, chosen, clock=clock, logger=self.journal.logger)
        self.book = self.new_book(chosen)

    def new_book(self, sources: dict[str, str] = SOURCES) -> WarmupBook:
        """A book as another deliver process has it; empty before its first look."""
        return WarmupBook(self.store, PLANS, sources, pools=["default"], clock=self.clock, logger=self.journal.logger)

    async def send(
        self, count: int, *, deferred: int = 0, source: str = "out1", provider: str = "gmail", writer: str = "a"
    ) -> None:
        day = self.clock.now().date()
        figures = Figures(day=day, attempted=count, delivered=count - deferred, deferred=deferred)
        async with self.store.transaction() as tx:
            await egress.add(tx, writer, [Egress(source, provider, figures)])

    async def row(self, source: str = "out1", provider: str = "gmail") -> Warmup:
        async with self.store.transaction() as tx:
            rows = await warmups.of_sources(tx, [source])
        return next(row for row in rows if row.provider == provider)

    async def today(self, provider: str = "gmail", source: str = "out1") -> int | None:
        """Return the ceiling as the deliver process reads it now."""
        await self.book.load()
        ceiling = self.book.ceiling(source, provider)
        if ceiling is None:
            return None
        assert ceiling.day == self.clock.now().toordinal()
        return ceiling.count

    async def live_day(self, share: float, *, deferred_ratio: float = 0.01) -> int | None:
        """Use that share of today's ceiling, half of it by each of two writers; judge every six hours, to midnight."""
        ceiling = await self.today()
        half = int((ceiling or 5_000) * share / 2)
        for writer in ("a", "b"):
            await self.send(half, deferred=math.ceil(half * deferred_ratio), writer=writer)
        for _ in range(4):
            self.clock.advance(DAY_S / 4)
            await self.judge.judge()
        return await self.today()

    async def view(self) -> WarmupView:
        return next(
            view
            for view in await views(self.store, PLANS, clock=self.clock)
            if (view.source, view.provider) == ("out1", "gmail")
        )


@pytest.fixture
def station(store: Store, clock: FakeClock) -> Station:
    return Station(store, clock)


@contextlib.asynccontextmanager
async def running(clock: FakeClock, *parts: Part) -> AsyncIterator[None]:
    """Run the parts while the block runs. Each naps on the clock when the block begins."""
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(part.run()) for part in parts]
        await clock.wait_for_sleepers(len(parts))
        yield
        for part in parts:
            part.stop()
        while not all(run.done() for run in runs):
            clock.advance(1.0)
            await turns()


async def test_ten_days_good_ones_up_bad_ones_back(station: Station) -> None:
    seen = [await station.today()]
    seen += [await station.live_day(0.95) for _ in range(3)]
    assert seen == [100, 200, 400, 800]
    assert await station.live_day(0.5) == 800, "half a ceiling is not tried"
    assert await station.live_day(0.95, deferred_ratio=0.06) == 400
    assert (await station.row()).note.startswith("6.1% deferred of 760 attempts on 2026-01-05: back to stage 3 of 5")
    assert await station.live_day(0.95) == 800, "the bad day does not count against the lower stage"
    assert await station.live_day(0.95) == 1_600
    assert await station.live_day(0.95) is None, "warm"
    assert await station.live_day(1.0, deferred_ratio=0.5) is None
    row = await station.row()
    assert (row.stage, row.plan) == (len(STAGES), "mine")
    moves = [line["note"] for line in station.journal.lines if line["event"] == "warmup_moved"]
    assert len(moves) == 8
    assert moves[0] == "It begins: stage 1 of 5, 100 a day."
    assert moves[-1].endswith("now warm.")


async def test_a_breach_steps_back_within_the_day_and_once(station: Station) -> None:
    for _ in range(2):
        await station.live_day(0.95)
    assert await station.today() == 400
    await station.send(150, deferred=9)
    await station.judge.judge()
    assert await station.today() == 200
    await station.send(150, deferred=150)
    for _ in range(3):
        assert await station.judge.judge() == []
    assert await station.today() == 200
    row = await station.row()
    assert row.stage_since == station.clock.now().date() + timedelta(days=1)


async def test_a_restart_keeps_everything(station: Station, store: Store, clock: FakeClock) -> None:
    for _ in range(2):
        await station.live_day(0.95)
    await station.send(123)
    again = Station(store, clock)
    assert await again.today() == await station.today() == 400
    assert await again.view() == await station.view()
    async with store.transaction() as tx:
        assert [one.figures.attempted for one in await egress.of_day(tx, clock.now().date())] == [123]
    assert await again.live_day(0.7) == 800, "0.7 and what was sent before the restart are over nine tenths"


async def test_a_new_pair_is_bounded_before_it_has_a_row(station: Station) -> None:
    assert station.book.ceiling("out1", "gmail") == Ceiling(station.clock.now().toordinal(), 100)
    await station.send(9)
    assert await station.judge.judge() == []
    assert await station.today() == 100
    await station.send(1)
    assert [row.provider for row in await station.judge.judge()] == ["gmail"]
    assert await station.judge.judge() == []
    assert await station.today() == 100


async def test_providers_that_a_plan_does_not_cover_are_not_bounded(station: Station) -> None:
    await station.send(5_000, source="big1", provider="yahoo")
    await station.send(5_000, source="warm1")
    assert await station.judge.judge() == []
    assert await station.today("yahoo", "big1") is None
    assert await station.today("gmail", "big1") == 1_000
    assert await station.today("gmail", "warm1") is None


async def test_each_provider_warms_up_by_itself(station: Station) -> None:
    await station.send(95)
    await station.send(95, provider="yahoo", deferred=95)
    station.clock.advance(DAY_S)
    await station.judge.judge()
    assert (await station.today("gmail"), await station.today("yahoo")) == (200, 100)


async def test_several_judges_move_it_once(station: Station, store: Store, clock: FakeClock) -> None:
    await station.send(95)
    clock.advance(DAY_S)
    others = [Station(store, clock) for _ in range(4)]
    async with asyncio.timeout(WAIT_S):
        changed = await asyncio.gather(*(other.judge.judge() for other in others))
        changed += await asyncio.gather(*(other.judge.judge() for other in others))
    assert [row.stage for rows in changed for row in rows] == [0, 1]
    assert await station.today() == 200


async def test_another_plan_goes_on_below_the_old_ceiling(station: Station, store: Store, clock: FakeClock) -> None:
    for _ in range(2):
        await station.live_day(0.95)
    assert await station.today() == 400
    slow = Station(store, clock, {"out1": "slow"})
    assert await slow.today() == 300, "before any judge has seen it"
    (row,) = await slow.judge.judge()
    assert (row.plan, row.stage, row.note) == ("slow", 4, "Plan slow instead of mine: stage 5 of 5, 300 a day.")
    assert await slow.today() == 300
    assert await slow.judge.judge() == []


async def test_an_operators_word_holds_for_the_day(station: Station, store: Store, clock: FakeClock) -> None:
    await station.send(500, deferred=400)
    await station.judge.judge()
    await set_stage(store, PLANS, "out1", "gmail", stage=4, plan_name="", clock=clock)
    assert await station.judge.judge() == []
    assert await station.today() == 800
    view = await station.view()
    assert (view.stage, view.stage_count, view.ceiling, view.used) == (4, 5, 800, 500)
    assert view.note == "Set by an operator: stage 4 of 5, 800 a day."
    assert view.next_change_on == clock.now().date() + timedelta(days=2)
    clock.advance(DAY_S)
    await station.send(200, deferred=20)
    await station.judge.judge()
    assert await station.today() == 400
    await set_stage(store, PLANS, "out1", "gmail", stage=None, plan_name="", clock=clock)
    assert await station.today() is None


async def test_mail_that_waits_goes_when_an_operator_raises_the_ceiling(
    station: Station, store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    later, owner = clock.now() + timedelta(hours=9), queueroom.new_id()
    waiting, elsewhere, limited, leased = (
        await queueroom.lane(provider="gmail", paused_until=later, pause_kind="warmup"),
        await queueroom.lane(pool="other", paused_until=later, pause_kind="warmup"),
        await queueroom.lane(provider="gmail", paused_until=later, pause_kind="rate"),
        await queueroom.lane(provider="gmail"),
    )
    await station.book.load()
    await queueroom.lease(leased, owner)  # Its mail was refused by the old ceiling.
    await set_stage(store, PLANS, "out1", "gmail", stage=None, plan_name="mine", clock=clock)
    assert (await queueroom.lane_row(waiting))["paused_until"] == later, "who has the old book would pause it again"
    await station.book.load()
    row = await queueroom.lane_row(waiting)
    assert (row["paused_until"], row["pause_kind"], row["next_due_at"]) == (None, None, clock.now())
    for lane_id in (elsewhere, limited):
        assert (await queueroom.lane_row(lane_id))["paused_until"] == later, "others wait for something else"
    pause = Pause(later, WaitKind.WARMUP, "warm-up: 100 of 100 of the day sent")
    async with store.transaction() as tx:
        await lanes.release(tx, owner, [GivenBack(leased, "gmail", pause)], now=clock.now())
    await station.book.load()
    assert (await queueroom.lane_row(leased))["paused_until"] is None, "given back since"
    other = await queueroom.lane(paused_until=later, pause_kind="warmup")
    await set_stage(store, PLANS, "out1", "gmail", stage=2, plan_name="", clock=clock)
    await station.book.load()
    assert (await queueroom.lane_row(other))["paused_until"] == later, "nothing has risen"


async def test_a_process_that_starts_lets_its_lanes_ask_anew(
    station: Station, store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane(paused_until=clock.now() + timedelta(hours=9), pause_kind="warmup")
    await set_stage(store, PLANS, "out1", "gmail", stage=4, plan_name="mine", clock=clock)
    await station.new_book().load()
    assert (await queueroom.lane_row(lane_id))["paused_until"] is None


@pytest.mark.parametrize(
    ("stage", "plan_name", "words"),
    [(1, "", "name its plan"), (1, "none", "no plan none; there are big, mine, slow"), (9, "mine", "stages 1 to 5")],
)
async def test_a_wrong_word_is_refused(store: Store, clock: FakeClock, stage: int, plan_name: str, words: str) -> None:
    with pytest.raises(CallerError) as caught:
        await set_stage(store, PLANS, "out1", "gmail", stage=stage, plan_name=plan_name, clock=clock)
    assert words in caught.value.public


async def test_the_view_tells_figures_and_what_keeps_the_stage(station: Station) -> None:
    await station.send(50, deferred=1)
    await station.judge.judge()
    view = await station.view()
    today = station.clock.now().date()
    assert msgspec.structs.astuple(view)[:12] == (
        *("out1", "gmail", "mine", 1, 5, 100, 50, 50, 0.02, 0.0, 0.0),
        today + timedelta(days=1),
    )
    assert view.outlook == (f"It advances after a whole day that used over 90% of 100; the best since {today} had 0.")


async def test_a_row_of_a_plan_that_is_gone_is_still_shown(station: Station) -> None:
    await station.send(50)
    await station.judge.judge()
    (view,) = await views(station.store, {}, clock=station.clock)
    assert (view.stage, view.stage_count, view.ceiling) == (1, 0, None)
    assert view.outlook == "There is no plan mine any more."


def test_a_source_without_its_plan_stops_the_start(clock: FakeClock) -> None:
    closed = Store("postgresql://nobody@/nowhere", StoreSettings())
    with pytest.raises(ConfigError) as caught:
        WarmupBook(closed, PLANS, {"out1": "mien"}, pools=["default"], clock=clock, logger=Journal().logger)
    assert "Source out1 warms up by plan mien" in caught.value.public


# As parts.


async def test_the_parts_keep_up_by_themselves(station: Station) -> None:
    """The judge moves after midnight, the book follows within seconds."""
    await station.send(95)

    async def until_ceiling(count: int) -> None:
        while (ceiling := station.book.ceiling("out1", "gmail")) is None or ceiling.count != count:
            station.clock.advance(5.0)
            await turns()

    async with asyncio.timeout(WAIT_S), running(station.clock, station.judge, station.book):
        assert station.book.ceiling("out1", "gmail") == Ceiling(station.clock.now().toordinal(), 100)
        station.clock.advance(DAY_S)
        await until_ceiling(200)
    assert not [line for line in station.journal.lines if line["level"] == "warning"]


async def test_a_book_without_a_database_keeps_to_first_stages(clock: FakeClock) -> None:
    away = Station(Store("postgresql://nobody@/nowhere?host=/nonexistent&port=5432", StoreSettings()), clock)
    async with asyncio.timeout(WAIT_S), running(clock, away.book, away.judge):
        assert away.book.ceiling("out1", "gmail") == Ceiling(clock.now().toordinal(), 100)
    assert {line["event"] for line in away.journal.lines} == {"warmup_not_read", "warmup_not_judged"}
