"""Warm-up moves by one, never up on bad figures, never out of its plan, and always says why."""

import importlib.resources
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.base.errors import ConfigError
from outrider.policy import warmup
from outrider.policy.warmup import STEP_RATIO_MAX, Figures, Move, Plan, Step, Thresholds, judge, make_plans, parse_plans

BUILT_IN = make_plans(parse_plans((importlib.resources.files("outrider.policy") / "warmup.toml").read_text("utf-8")))
PLAN = make_plans({"mine": Plan(stages=(1_000, 2_000, 4_000))})["mine"]
DAY = timedelta(days=1)
TODAY = date(2026, 1, 10)
YESTERDAY = TODAY - DAY


def day_of(
    attempted: int, day: date = YESTERDAY, *, deferred: int = 0, bounced: int = 0, complained: int = 0
) -> Figures:
    delivered = attempted - deferred - bounced
    return Figures(
        day=day, attempted=attempted, delivered=delivered, deferred=deferred, bounced=bounced, complained=complained
    )


def judged(*days: Figures, stage: int = 1, since: date = YESTERDAY, plan: Plan = PLAN) -> Move:
    return judge(plan, Step(stage, since), days, today=TODAY)


# Up.


def test_a_full_good_day_advances() -> None:
    move = judged(day_of(1_900, deferred=90, bounced=50, complained=1))
    assert move == Move(Step(2, TODAY), move.note, is_made=True)
    assert move.note == (
        "Good since 2026-01-09: 1,900 attempts, 4.7% deferred, 2.6% bounced, 0.06% complaints;"
        " now stage 3 of 3, 4,000 a day."
    )


def test_behind_the_last_stage_there_is_no_ceiling() -> None:
    move = judged(day_of(4_000), stage=2)
    assert move.step == Step(3, TODAY)
    assert move.note.endswith("now warm.")
    assert warmup.ceiling_for(PLAN, 3) is None
    assert judged(day_of(4_000, deferred=4_000), stage=3).step == Step(3, YESTERDAY), "warm is warm"


def test_nine_tenths_are_not_more_than_nine_tenths() -> None:
    assert not judged(day_of(1_800)).is_made
    assert judged(day_of(1_801)).is_made


def test_the_day_that_runs_does_not_advance() -> None:
    assert not judged(day_of(2_000, TODAY)).is_made
    assert not judged(day_of(2_000, TODAY), day_of(1_000)).is_made


def test_one_full_day_of_many_is_enough() -> None:
    days = [day_of(100, TODAY - DAY * ago) for ago in (1, 2, 4)]
    move = judged(*days, day_of(1_950, TODAY - DAY * 3), since=TODAY - DAY * 5)
    assert move.step == Step(2, TODAY)


def test_days_before_the_stage_do_not_count() -> None:
    assert not judged(day_of(2_000, YESTERDAY - DAY)).is_made
    assert not judged(day_of(2_000, YESTERDAY - DAY, deferred=2_000)).is_made


def test_a_day_has_one_move_up() -> None:
    move = judged(day_of(2_000), stage=0)
    again = judge(PLAN, move.step, [day_of(2_000), day_of(2_000, TODAY)], today=TODAY)
    assert not again.is_made
    assert judge(PLAN, move.step, [day_of(2_000, TODAY)], today=TODAY + DAY).step == Step(2, TODAY + DAY)


# Back.


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (day_of(1_000, deferred=50), "5.0% deferred of 1,000 attempts"),
        (day_of(1_000, deferred=49, bounced=30), "3.0% bounced of 1,000 attempts"),
        (day_of(1_000, complained=2), "2 complaints (0.20%) about 1,000 deliveries"),
        (day_of(100, deferred=5), "5.0% deferred of 100 attempts"),
    ],
)
def test_a_breach_steps_back_and_names_the_figure(figures: Figures, words: str) -> None:
    move = judged(figures)
    assert move.step == Step(0, TODAY + DAY)
    assert move.note == f"{words} since 2026-01-09: back to stage 1 of 3, 1,000 a day."


def test_a_breach_does_not_wait_for_midnight() -> None:
    assert judged(day_of(300, TODAY, deferred=20), since=TODAY).step == Step(0, TODAY + DAY)


def test_one_bad_day_of_a_good_stage_is_a_breach() -> None:
    days = [day_of(1_900, TODAY - DAY * ago) for ago in range(2, 5)]
    move = judged(*days, day_of(1_000, deferred=60), since=TODAY - DAY * 6)
    assert move.note == "6.0% deferred of 1,000 attempts on 2026-01-09: back to stage 1 of 3, 1,000 a day."


def test_the_first_stage_begins_again() -> None:
    move = judged(day_of(500, deferred=100), stage=0)
    assert move.step == Step(0, TODAY + DAY)
    assert move.note.endswith("again from stage 1 of 3, 1,000 a day.")


def test_a_day_has_one_move_back() -> None:
    bad = day_of(1_000, TODAY, deferred=500)
    move = judged(bad, stage=2)
    assert move.step == Step(1, TODAY + DAY)
    again = judge(PLAN, move.step, [bad], today=TODAY)
    assert not again.is_made
    assert again.note == "Nothing moves today: the stage's first day is 2026-01-11."
    next_day = judge(PLAN, move.step, [bad, day_of(1_900, TODAY + DAY)], today=TODAY + DAY)
    assert not next_day.is_made, "the bad day counts for no stage"


def test_few_bad_attempts_neither_step_back_nor_advance() -> None:
    plan = msgspec.structs.replace(PLAN, stages=(50, 100))
    move = judged(day_of(50, deferred=5), stage=0, plan=plan)
    assert not move.is_made
    assert (
        move.note
        == "10.0% deferred of 50 attempts since 2026-01-09: too few attempts to step back, too bad to advance."
    )


def test_one_complaint_is_chance() -> None:
    assert judged(day_of(1_000, complained=1), stage=0).step == Step(1, TODAY)


def test_thresholds_are_the_plans_own() -> None:
    plan = msgspec.structs.replace(PLAN, thresholds=Thresholds(deferred_ratio_max=0.2, attempted_min=10))
    assert judged(day_of(2_000, deferred=300), plan=plan).step == Step(2, TODAY)
    assert judged(day_of(10, deferred=2), plan=plan).step == Step(0, TODAY + DAY)


# Whatever the figures.

COUNTS = st.integers(0, 5_000)
DAYS = st.lists(
    st.builds(
        Figures,
        day=st.integers(-5, 2).map(lambda offset: TODAY + DAY * offset),
        attempted=COUNTS,
        delivered=COUNTS,
        deferred=st.integers(0, 300),
        bounced=st.integers(0, 200),
        throttled=COUNTS,
        complained=st.integers(0, 10),
    ),
    max_size=6,
)
STEPS = st.builds(Step, st.integers(0, 5), st.integers(-5, 2).map(lambda offset: TODAY + DAY * offset))


@given(STEPS, DAYS)
def test_every_judgement_stays_in_the_plan_moves_by_one_and_speaks(step: Step, days: list[Figures]) -> None:
    move = judge(PLAN, step, days, today=TODAY)
    assert move.is_made == (move.step != step)
    if move.is_made:
        assert 0 <= move.step.stage <= len(PLAN.stages)
        assert abs(move.step.stage - step.stage) <= 1
        assert move.step.since >= TODAY
    assert len(move.note) > 10
    assert move.note.endswith(".")


@given(STEPS, DAYS)
def test_bad_figures_never_advance(step: Step, days: list[Figures]) -> None:
    move = judge(PLAN, step, days, today=TODAY)
    if move.step.stage > step.stage:
        inside = [one for one in days if step.since <= one.day <= TODAY]
        deferred, bounced, complained = warmup.ratios_of(warmup.sum_of(inside, day=TODAY))
        assert deferred < 0.05
        assert bounced < 0.03
        assert complained < 0.001 or sum(one.complained for one in inside) < 2


@given(STEPS, DAYS)
def test_judging_again_changes_nothing_that_day(step: Step, days: list[Figures]) -> None:
    """Unless it went up: then the day itself may still be a breach, and step back once."""
    move = judge(PLAN, step, days, today=TODAY)
    again = judge(PLAN, move.step, days, today=TODAY)
    assert again.step.stage <= move.step.stage
    assert not judge(PLAN, again.step, days, today=TODAY).is_made


@given(st.sampled_from(sorted(BUILT_IN)), st.integers(0, 40))
def test_ceilings_grow_with_the_stage(name: str, stage: int) -> None:
    low, high = (warmup.ceiling_for(BUILT_IN[name], number) for number in (stage, stage + 1))
    assert high is None or (low is not None and low < high)


@given(st.sampled_from(sorted(BUILT_IN)), st.integers(0, 40), st.sampled_from(sorted(BUILT_IN)))
def test_another_plan_goes_on_where_no_more_is_allowed(old: str, stage: int, new: str) -> None:
    carried = warmup.carry(BUILT_IN[old], stage, BUILT_IN[new])
    before, after = warmup.ceiling_for(BUILT_IN[old], stage), warmup.ceiling_for(BUILT_IN[new], carried)
    if before is None:
        assert after is None
    else:
        assert after is not None
        assert after <= before or carried == 0
    assert warmup.carry(None, stage, BUILT_IN[new]) == 0


# Plans.


def test_the_built_in_plans_are_as_published() -> None:
    assert sorted(BUILT_IN) == ["billionmail", "resend", "sparkpost"]
    spark = BUILT_IN["sparkpost"].stages
    assert (len(spark), spark[:6], spark[-1]) == (29, (200, 500, 1_000, 2_000, 5_000, 10_000), 10_000_000)
    assert BUILT_IN["billionmail"].stages[5:9] == (7_000, 10_000, 13_000, 16_900)
    resend = BUILT_IN["resend"].stages
    assert [(resend[at], resend[at + 6]) for at in (0, 7, 14, 21)] == [
        (50, 100),
        (200, 500),
        (1_000, 2_000),
        (5_000, 10_000),
    ]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_plan_says_where_it_is_from_and_leaps_only_as_published(name: str) -> None:
    plan = BUILT_IN[name]
    assert plan.source
    assert plan.seen_on
    assert plan.name == name
    steepest = max(high / low for low, high in zip(plan.stages, plan.stages[1:], strict=False))
    assert (plan.step_ratio_max > 2) == (steepest > 2), "an exception that nobody needs"
    assert steepest <= STEP_RATIO_MAX


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a]\nstages = [100, 201]", "stage 2 (201) is more than 2 times stage 1 (100)"),
        ("[a]\nstages = [100, 100]", "does not exceed"),
        ("[a]\nstages = [100, 251]\nstep_ratio_max = 2.5", "more than 2.5 times"),
        ("[a]\nstages = [1]\ngrowth_count = 1", "does not exceed"),
        (f"[a]\nstages = {list(range(100, 199))}\ngrowth_ratio = 2\ngrowth_count = 2", "more than 100 stages"),
        ("[a]\nstages = []", "stages"),
        ("[a]\nstages = [100]\nstep_ratio_max = 3", "step_ratio_max"),
        ("[a]\nstages = [100]\nstagse = 1", "stagse"),
        ("[a", "cannot be read"),
    ],
)
def test_an_unwise_plan_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plans(parse_plans(text))
    assert words in caught.value.public


def test_the_operators_plan_wins() -> None:
    plans = make_plans(BUILT_IN, {"resend": Plan(stages=(10, 20), providers=("gmail",))})
    assert plans["resend"].stages == (10, 20)
    assert plans["sparkpost"] == BUILT_IN["sparkpost"]
    assert warmup.is_covered(plans["resend"], "gmail")
    assert not warmup.is_covered(plans["resend"], "yahoo")
    assert warmup.is_covered(plans["sparkpost"], "yahoo")


def test_the_next_change_is_a_day_ahead() -> None:
    assert warmup.next_change_on(PLAN, Step(0, TODAY - DAY * 9), today=TODAY) == TODAY + DAY
    assert warmup.next_change_on(PLAN, Step(0, TODAY + DAY), today=TODAY) == TODAY + DAY * 2
    assert warmup.next_change_on(PLAN, Step(3, TODAY), today=TODAY) is None
