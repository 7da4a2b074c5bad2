"""Warm-up: how many mails a new source may send to one provider on a day, and when that changes. Pure.

A plan is a list of stages, each a ceiling of mails a UTC day for one (source, provider). What comes with the package is
in `warmup.toml`; operators add their own. Where a warm-up stands is a `Step`: the stage, counted from 0, and the first
day whose figures count for it. `judge` moves it by those figures:

    one up      some whole day of the stage used nearly all of its ceiling, and the stage's figures are good
    one back    the stage, or any day of it, has bad figures on enough attempts; the first stage begins again
    stays       anything else, with the reason in words

The stage behind the last has no ceiling: the source is warm, and from there on the figures are none of our business.
On one day there is at most one move up and one back: the day that moved back counts for no stage, nor does it move.

Invariants (tests/unit/policy/test_warmup.py): a stage never leaves its plan, moves by one, never up on bad figures;
every judgement has a sentence. Counting and spreading over the day are `policy.throttle`'s, remembering is `store`'s.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from outrider.base.errors import ConfigError

STEP_RATIO_MAX: Final = 2.5  # SparkPost's, 200 to 500: the steepest published step that we follow.
_STEP_RATIO_MAX_DEFAULT: Final = 2.0  # providers.md 1.1, Google: never double volume at a step.
_STAGES_MAX: Final = 100  # Ours.
_DAY: Final = timedelta(days=1)

Ratio = Annotated[float, Meta(gt=0, le=1)]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What good figures are. Below each `_ratio_max` is good; from it on, on enough attempts, is a breach."""

    # The first three: providers.md 1.4.
    deferred_ratio_max: Ratio = 0.05
    """Deferrals, as a share of attempts."""

    bounced_ratio_max: Ratio = 0.03
    """Bounces, as a share of attempts."""

    complained_ratio_max: Ratio = 0.001
    """Complaints, as a share of deliveries."""

    used_ratio_min: Ratio = 0.9  # SparkPost: more than this of the ceiling on one day, or the stage has not been tried.
    attempted_min: Annotated[int, Meta(ge=1)] = 100  # Ours: on fewer, bad figures keep the stage but do not step back.
    complained_min: Annotated[int, Meta(ge=1)] = 2  # Ours: one complaint in 200 mails is above any ratio, and chance.


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule as written down. `make_plans` completes and checks it."""

    stages: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1, max_length=_STAGES_MAX)]
    """Mails a day to one provider, stage by stage."""

    growth_ratio: Annotated[float, Meta(gt=1, le=STEP_RATIO_MAX)] = 1.3
    """How much larger each further stage is, past those written down."""

    growth_count: Annotated[int, Meta(ge=0, le=_STAGES_MAX)] = 0
    """How many such further stages there are."""

    step_ratio_max: Annotated[float, Meta(gt=1, le=STEP_RATIO_MAX)] = _STEP_RATIO_MAX_DEFAULT
    """No stage is larger than this many times the one before; a plan that is steeper is refused."""

    providers: tuple[str, ...] = ()
    """The providers that the plan covers, by their names in the shaping rules. Empty: all."""

    thresholds: Thresholds = Thresholds()
    source: str = ""  # Where the schedule is from.
    seen_on: date | None = None  # When it was read there.
    name: str = ""  # Set by `make_plans`.


class Figures(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one source did at one provider on one UTC day."""

    day: date
    attempted: int = 0  # Attempts that reached a server; greylisting, which says nothing about the source, is left out.
    delivered: int = 0
    deferred: int = 0
    bounced: int = 0
    throttled: int = 0  # Those of the deferred that the provider called too many or too fast.
    complained: int = 0  # On the day they came in; the mail was older.


class Step(msgspec.Struct, frozen=True, gc=False):
    """Where a warm-up stands."""

    stage: int  # From 0; the number of stages means warm.
    since: date  # The first UTC day whose figures count for it; tomorrow after a step back.


class Move(msgspec.Struct, frozen=True, gc=False):
    """What `judge` makes of it."""

    step: Step  # As before, if nothing moved.
    note: str  # Why, one sentence or two.
    is_made: bool


def parse_plans(text: str) -> Mapping[str, Plan]:
    """Read plans from TOML, a table each.

    Raises:
        ConfigError: not TOML, or a wrong key or value; it says which.
    """
    try:
        return msgspec.convert(tomllib.loads(text), dict[str, Plan])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"The warm-up plans cannot be read: {error}.") from error


def make_plans(*layers: Mapping[str, Plan]) -> Mapping[str, Plan]:
    """Complete, check and name the plans of all `layers`; the later one wins where two have a name.

    Raises:
        ConfigError: the first flaw of the first plan that has one.
    """
    plans = {
        name: msgspec.structs.replace(plan, name=name, stages=_grown(plan), growth_count=0)
        for layer in layers
        for name, plan in layer.items()
    }
    for plan in plans.values():
        for flaw in flaws(plan):
            raise ConfigError(f"Warm-up plan {plan.name}: {flaw}")
    return plans


def flaws(plan: Plan) -> Sequence[str]:
    """Return what is unwise in a completed plan, a sentence each; [] if nothing is."""
    found: list[str] = []
    for number, (low, high) in enumerate(zip(plan.stages, plan.stages[1:], strict=False), 2):
        if high <= low:
            found.append(f"stage {number} ({high:,}) does not exceed stage {number - 1} ({low:,}).")
        elif high > low * plan.step_ratio_max:
            found.append(
                f"stage {number} ({high:,}) is more than {plan.step_ratio_max:g} times stage {number - 1} ({low:,});"
                f" step_ratio_max may be up to {STEP_RATIO_MAX:g}."
            )
    if len(plan.stages) > _STAGES_MAX:
        found.append(f"it has more than {_STAGES_MAX} stages.")
    return found


def is_covered(plan: Plan, provider: str) -> bool:
    """Tell whether the plan bounds mail to `provider` (the key that limits are counted by)."""
    return not plan.providers or provider in plan.providers


def ceiling_for(plan: Plan, stage: int) -> int | None:
    """Return the most mails a day in that stage, None when warm."""
    assert stage >= 0
    return plan.stages[stage] if stage < len(plan.stages) else None


def carry(old: Plan | None, stage: int, new: Plan) -> int:
    """Return the highest stage of `new` that allows no more than `stage` of `old`; 0 if none, or `old` is unknown."""
    if old is None:
        return 0
    if (ceiling := ceiling_for(old, stage)) is None:
        return len(new.stages)
    return max(0, sum(count <= ceiling for count in new.stages) - 1)


def judge(plan: Plan, step: Step, days: Iterable[Figures], *, today: date) -> Move:
    """Return where the warm-up stands now. Total: whatever the figures, there is a move and a sentence.

    Args:
        days: figures of that source and provider, at most one a day, in any order; days outside the stage are left out.
        today: the UTC day that is running.
    """
    last = len(plan.stages) - 1
    if step.stage > last:
        return _stay(step, "It is warm: no ceiling.")
    if step.since > today:
        return _stay(step, f"Nothing moves today: the stage's first day is {step.since}.")
    inside = [figures for figures in days if step.since <= figures.day <= today]
    total = sum_of(inside, day=today)
    for figures, when in [(total, f"since {step.since}"), *((one, f"on {one.day}") for one in inside)]:
        if figures.attempted >= plan.thresholds.attempted_min and (why := _breach(plan.thresholds, figures)):
            return _step_back(plan, step, f"{why} {when}", today)
    if why := _breach(plan.thresholds, total):
        return _stay(step, f"{why} since {step.since}: too few attempts to step back, too bad to advance.")
    goal = plan.stages[step.stage] * plan.thresholds.used_ratio_min
    best = max((figures.attempted for figures in inside if figures.day < today), default=0)
    if best <= goal:
        return _stay(
            step,
            f"It advances after a whole day that used over {plan.thresholds.used_ratio_min:.0%} of"
            f" {plan.stages[step.stage]:,}; the best since {step.since} had {best:,}.",
        )
    return _step_up(plan, step, total, today)


def sum_of(days: Iterable[Figures], *, day: date) -> Figures:
    """Return the figures of all `days` together, under `day`."""
    columns = [(one.attempted, one.delivered, one.deferred, one.bounced, one.throttled, one.complained) for one in days]
    attempted, delivered, deferred, bounced, throttled, complained = map(sum, zip((0,) * 6, *columns, strict=True))
    return Figures(
        day=day,
        attempted=attempted,
        delivered=delivered,
        deferred=deferred,
        bounced=bounced,
        throttled=throttled,
        complained=complained,
    )


def ratios_of(figures: Figures) -> tuple[float, float, float]:
    """Return the shares deferred and bounced (of attempts) and complained (of deliveries); 0 of nothing is 0."""
    attempted = max(figures.attempted, 1)
    return figures.deferred / attempted, figures.bounced / attempted, figures.complained / max(figures.delivered, 1)


def next_change_on(plan: Plan, step: Step, *, today: date) -> date | None:
    """Return the earliest day on which the stage may go up, None when it is warm."""
    return None if step.stage >= len(plan.stages) else max(step.since, today) + _DAY


def name_of(plan: Plan, stage: int) -> str:
    """Return the stage in words, counted from 1: "stage 3 of 29, 1,000 a day"."""
    count = ceiling_for(plan, stage)
    return "warm" if count is None else f"stage {stage + 1} of {len(plan.stages)}, {count:,} a day"


def _grown(plan: Plan) -> tuple[int, ...]:
    stages = list(plan.stages)
    for _ in range(plan.growth_count):
        stages.append(int(stages[-1] * plan.growth_ratio))
    return tuple(stages)


def _breach(thresholds: Thresholds, figures: Figures) -> str:
    """Return which of the figures is bad, "" if none is."""
    deferred, bounced, complained = ratios_of(figures)
    of_attempts = f"of {figures.attempted:,} attempts"
    if deferred >= thresholds.deferred_ratio_max:
        return f"{deferred:.1%} deferred {of_attempts}"
    if bounced >= thresholds.bounced_ratio_max:
        return f"{bounced:.1%} bounced {of_attempts}"
    if figures.complained >= thresholds.complained_min and complained >= thresholds.complained_ratio_max:
        return f"{figures.complained:,} complaints ({complained:.2%}) about {figures.delivered:,} deliveries"
    return ""


def _stay(step: Step, note: str) -> Move:
    return Move(step, note, is_made=False)


def _step_back(plan: Plan, step: Step, why: str, today: date) -> Move:
    stage = max(step.stage - 1, 0)
    way = "back to" if step.stage else "again from"
    # Tomorrow: the day that went wrong must not count against the lower stage as well.
    return Move(Step(stage, today + _DAY), f"{why}: {way} {name_of(plan, stage)}.", is_made=True)


def _step_up(plan: Plan, step: Step, total: Figures, today: date) -> Move:
    deferred, bounced, complained = ratios_of(total)
    stage = step.stage + 1
    note = (
        f"Good since {step.since}: {total.attempted:,} attempts, {deferred:.1%} deferred, {bounced:.1%} bounced,"
        f" {complained:.2%} complaints; now {name_of(plan, stage)}."
    )
    return Move(Step(stage, today), note, is_made=True)
