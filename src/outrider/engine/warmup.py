"""Warm-up at work: deliver processes ask for the day's ceiling, a worker moves the stages, an operator looks and sets.

    deliver   `WarmupBook.ceiling(source, provider)`, on the hot path; it reads the stages again every few seconds, and
              where a ceiling has risen it lets the lanes that wait for one be looked at
    worker    `WarmupJudge`: judges every pair that sent something, once a minute; `policy.warmup.judge` has the rules
    commands  `views`, `set_stage`

A source and provider without a row are in the first stage of the source's plan: a new pair is bounded from its first
mail, whoever reads the tables when. The judge makes the row when the pair has sent a few mails. A source whose plan was
replaced by another goes on in the stage that allows no more than its old one did.

Nothing is kept here that is not in the database, so a restart changes nothing; several workers may judge at once, one
moves. A book that cannot read the stages goes on with those it has, and with first stages if it never had any: late
mail is better than a spoilt address.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConfigError
from outrider.base.vocab import WaitKind
from outrider.engine.service import Outage, Recurring
from outrider.obs.log import Logger
from outrider.policy import warmup as policy
from outrider.policy.throttle import Ceiling
from outrider.policy.warmup import Figures, Plan, Step
from outrider.store import egress, lanes, warmups
from outrider.store.egress import Pair, Stretch
from outrider.store.pool import Store, Tx
from outrider.store.warmups import Warmup

Plans = Mapping[str, Plan]
Sources = Mapping[str, str]  # The name of each warming source and of its plan.

_READ_EVERY_S: Final = 5.0  # Ours: an operator's word holds within that.
_JUDGE_EVERY_S: Final = 60.0  # Ours: a breach is noticed before many more mails have left.
_LOOK_BACK: Final = timedelta(days=13)  # Ours: what a stage did over two weeks ago tells nothing about today.
_ATTEMPTED_MIN: Final = 10  # Ours: without it every small domain of the world would have a row that never moves.
_WAKING_COUNT: Final = 2
_DAY: Final = timedelta(days=1)


class WarmupView(msgspec.Struct, frozen=True, kw_only=True):
    """A warm-up as an operator sees it. Stages are counted from 1; one more than `stage_count` is warm."""

    source: str
    provider: str
    plan: str
    stage: int
    stage_count: int  # 0: the settings have no plan of that name.
    ceiling: int | None  # Mails today, None: no bound.
    used: int  # Attempts today.
    attempted: int  # This and the next three: since the stage began.
    deferred_ratio: float
    bounced_ratio: float
    complained_ratio: float
    next_change_on: date | None  # The earliest day on which the ceiling may rise.
    outlook: str  # What keeps the stage, now.
    changed_at: datetime
    note: str  # Why it is in this stage.


class WarmupBook(Recurring):
    """The ceilings of this process's warming sources. `load` before the first mail, then `run` beside it.

    Each process ends the pauses when its own book has the higher ceiling: done once, by whoever raised it, a process
    with the old one would take the lanes and pause them again. And once more at the next look, for a lane that was
    sent away by the old ceiling and given back meanwhile. A process that starts cannot know what its lanes were
    paused by: it looks at them, too.
    """

    def __init__(
        self, store: Store, plans: Plans, sources: Sources, *, pools: Sequence[str], clock: Clock, logger: Logger
    ) -> None:
        """`pools` are those that the sources are in. Raises ConfigError: a source names a plan that is not there."""
        super().__init__(self.load, _READ_EVERY_S, clock=clock, outage=Outage(logger, "warmup_not_read"))
        self._store: Final = store
        self._plans: Final = plans
        self._of_source: Final = _plans_of(plans, sources)
        self._pools: Final = pools
        self._counts: dict[Pair, int | None] = {}  # Above the first stage; None: warm.
        self._waking_count = 0  # How often the pauses are to be ended yet.

    def ceiling(self, source: str, provider: str) -> Ceiling | None:
        """Return today's ceiling, None if there is none. Cost: 1 us."""
        plan = self._of_source.get(source)
        if plan is None or not policy.is_covered(plan, provider):
            return None
        count = self._counts.get((source, provider), plan.stages[0])
        return None if count is None else Ceiling(self._clock.now().toordinal(), count)

    async def load(self) -> None:
        """Read the stages again; let what waits for a ceiling go where one has risen. Raises StoreError."""
        if not self._of_source:
            return
        async with self._store.transaction() as tx:
            rows = await warmups.of_sources(tx, list(self._of_source))
        counts: dict[Pair, int | None] = {}
        for row in rows:
            plan = self._of_source[row.source]
            stage = _stage_in(self._plans, row, plan)
            if stage:
                counts[row.source, row.provider] = policy.ceiling_for(plan, stage)
        if any(self._is_higher(pair, count) for pair, count in counts.items()):
            self._waking_count = _WAKING_COUNT
        self._counts = counts  # Before a lane is woken: it may be ours in a moment.
        if self._waking_count:
            async with self._store.transaction() as tx:
                await lanes.end_pauses_of_pools(tx, self._pools, WaitKind.WARMUP, now=self._clock.now())
            self._waking_count -= 1

    def _is_higher(self, pair: Pair, count: int | None) -> bool:
        before = self._counts.get(pair, self._of_source[pair[0]].stages[0])
        return before is not None and (count is None or count > before)


class WarmupJudge(Recurring):
    """Moves the stages of the sources in the settings, once a minute. Any number of processes may run one."""

    def __init__(self, store: Store, plans: Plans, sources: Sources, *, clock: Clock, logger: Logger) -> None:
        """Raises ConfigError: a source names a plan that is not there."""
        super().__init__(self.judge, _JUDGE_EVERY_S, clock=clock, outage=Outage(logger, "warmup_not_judged"))
        self._store: Final = store
        self._plans: Final = plans
        self._of_source: Final = _plans_of(plans, sources)
        self._logger: Final = logger

    async def judge(self) -> Sequence[Warmup]:
        """Judge every pair now; return the rows that changed, new ones too. Raises StoreError."""
        if not self._of_source:
            return ()
        now = self._clock.now()
        today = now.date()
        changed: list[Warmup] = []
        async with self._store.transaction() as tx:
            changed += await self._begin(tx, now)
            rows = [row for row in await warmups.of_sources(tx, list(self._of_source)) if self._is_covered(row)]
            figures = await _figures_of(tx, rows, today)
            for row in rows:
                new = self._judged(row, figures[row.source, row.provider], now)
                if new is not None and await warmups.move(tx, row, new):
                    changed.append(new)
        for row in changed:
            self._logger.info(
                "warmup_moved",
                source=row.source,
                provider=row.provider,
                plan=row.plan,
                stage=row.stage + 1,
                note=row.note,
            )
        return changed

    async def _begin(self, tx: Tx, now: datetime) -> list[Warmup]:
        yesterday = now.date() - _DAY  # What settled around midnight may be seen after it.
        found = await warmups.newcomers(tx, list(self._of_source), yesterday, attempted_min=_ATTEMPTED_MIN)
        begun: list[Warmup] = []
        for one in found:
            plan = self._of_source[one.source]
            note = f"It begins: {policy.name_of(plan, 0)}."
            row = Warmup(one.source, one.provider, plan.name, 0, one.since, now, note)
            if policy.is_covered(plan, one.provider) and await warmups.begin(tx, row):
                begun.append(row)
        return begun

    def _is_covered(self, row: Warmup) -> bool:
        return policy.is_covered(self._of_source[row.source], row.provider)

    def _judged(self, row: Warmup, days: Sequence[Figures], now: datetime) -> Warmup | None:
        """Return the row as it should be now, None if it should stay as it is."""
        plan = self._of_source[row.source]
        stage = _stage_in(self._plans, row, plan)
        if row.plan != plan.name:
            note = f"Plan {plan.name} instead of {row.plan}: {policy.name_of(plan, stage)}."
            # Tomorrow: the figures so far are those of another ceiling.
            return Warmup(row.source, row.provider, plan.name, stage, now.date() + _DAY, now, note)
        move = policy.judge(plan, Step(stage, row.stage_since), days, today=now.date())
        if not move.is_made:
            return None
        return Warmup(row.source, row.provider, plan.name, move.step.stage, move.step.since, now, move.note)


async def views(store: Store, plans: Plans, *, clock: Clock) -> Sequence[WarmupView]:
    """Return every warm-up there is, by source and provider. Raises StoreError."""
    today = clock.now().date()
    async with store.transaction() as tx:
        rows = await warmups.read_all(tx)
        figures = await _figures_of(tx, rows, today)
        used = {(one.source, one.provider): one.figures.attempted for one in await egress.of_day(tx, today)}
    return [
        _view(
            row, plans.get(row.plan), figures[row.source, row.provider], today, used.get((row.source, row.provider), 0)
        )
        for row in rows
    ]


async def set_stage(
    store: Store, plans: Plans, source: str, provider: str, *, stage: int | None, plan_name: str, clock: Clock
) -> Warmup:
    """Put a warm-up into a stage, counted from 1; None makes it warm. It stays there for the rest of the day.

    Args:
        plan_name: "" for the plan it has.

    Raises:
        CallerError: no such plan or stage, or no plan is named and it has none.
        StoreError: the database failed.
    """
    now = clock.now()
    async with store.transaction() as tx:
        found = [row.plan for row in await warmups.of_sources(tx, [source]) if row.provider == provider]
        name = plan_name or next(iter(found), "")
        if not name:
            raise CallerError(f"No warm-up of {source} at {provider} yet: name its plan.", field="plan")
        plan = plans.get(name)
        if plan is None:
            raise CallerError(f"There is no plan {name}; there are {', '.join(sorted(plans))}.", field="plan")
        number = len(plan.stages) + 1 if stage is None else stage
        if not 1 <= number <= len(plan.stages) + 1:
            raise CallerError(f"Plan {name} has stages 1 to {len(plan.stages)}.", field="stage")
        note = f"Set by an operator: {policy.name_of(plan, number - 1)}."
        row = Warmup(source, provider, name, number - 1, now.date() + _DAY, now, note)
        await warmups.put(tx, row)
    return row


def _plans_of(plans: Plans, sources: Sources) -> Mapping[str, Plan]:
    for source, name in sources.items():
        if name not in plans:
            raise ConfigError(
                f"Source {source} warms up by plan {name}, which is not there; there are {', '.join(sorted(plans))}."
            )
    return {source: plans[name] for source, name in sources.items()}


def _stage_in(plans: Plans, row: Warmup, plan: Plan) -> int:
    """Return the stage of `plan` that the row stands for, whatever plan it was written under."""
    if row.plan != plan.name:
        return policy.carry(plans.get(row.plan), row.stage, plan)
    return min(row.stage, len(plan.stages))


async def _figures_of(tx: Tx, rows: Sequence[Warmup], today: date) -> Mapping[Pair, list[Figures]]:
    stretches = [Stretch(row.source, row.provider, row.stage_since) for row in rows]
    return await egress.of_stretches(tx, stretches, today - _LOOK_BACK, today)


def _view(row: Warmup, plan: Plan | None, days: Sequence[Figures], today: date, used: int) -> WarmupView:
    total = policy.sum_of(days, day=today)
    deferred, bounced, complained = policy.ratios_of(total)
    step = row.step if plan is None else Step(min(row.stage, len(plan.stages)), row.stage_since)
    return WarmupView(
        source=row.source,
        provider=row.provider,
        plan=row.plan,
        stage=step.stage + 1,
        stage_count=0 if plan is None else len(plan.stages),
        ceiling=None if plan is None else policy.ceiling_for(plan, step.stage),
        used=used,
        attempted=total.attempted,
        deferred_ratio=round(deferred, 4),
        bounced_ratio=round(bounced, 4),
        complained_ratio=round(complained, 5),
        next_change_on=None if plan is None else policy.next_change_on(plan, step, today=today),
        outlook=(
            f"There is no plan {row.plan} any more."
            if plan is None
            else policy.judge(plan, step, days, today=today).note
        ),
        changed_at=row.changed_at,
        note=row.note,
    )
