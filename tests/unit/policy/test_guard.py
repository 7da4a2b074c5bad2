"""When a campaign does harm."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy import guard
from outrider.policy.guard import SENT_COUNT_MIN, GuardLevel, GuardVerdict, Window

windows = st.builds(
    Window,
    name=st.just("the last hour"),
    sent_count=st.integers(0, 10_000),
    invalid_count=st.integers(0, 10_000),
    complaint_count=st.integers(0, 10_000),
)
RANK = {level: rank for rank, level in enumerate(GuardLevel)}


def level_of(sent_count: int, **counts: int) -> GuardLevel:
    return guard.judge([Window(name="today", sent_count=sent_count, **counts)]).level


@pytest.mark.parametrize(
    ("sent", "invalid", "level"),
    [
        (500, 0, "ok"),
        (500, 10, "ok"),  # Exactly 2 % is not more than 2 %.
        (500, 11, "warn"),
        (500, 20, "warn"),
        (500, 21, "slow"),
        (500, 25, "slow"),
        (500, 26, "pause"),
        (1_000_000, 20_000, "ok"),
        (1_000_000, 50_001, "pause"),
        (499, 499, "ok"),
    ],
)
def test_bounces(sent: int, invalid: int, level: str) -> None:
    assert level_of(sent, invalid_count=invalid) == level


@pytest.mark.parametrize(
    ("sent", "complaints", "level"),
    [
        (10_000, 8, "ok"),
        (10_000, 9, "warn"),
        (10_000, 20, "warn"),
        (10_000, 21, "slow"),
        (10_000, 30, "slow"),
        (10_000, 31, "pause"),
        (500, 1, "warn"),  # 0.2 %, but one reader.
        (500, 2, "pause"),
        (499, 499, "ok"),
    ],
)
def test_complaints(sent: int, complaints: int, level: str) -> None:
    assert level_of(sent, complaint_count=complaints) == level


def test_the_sentence_says_what_where_and_how_much() -> None:
    window = Window(name="the last hour", sent_count=600, invalid_count=36)
    assert guard.judge([window]) == GuardVerdict(
        GuardLevel.PAUSE, "36 of 600 mails in the last hour went to addresses that do not exist: 6 %, over 5 %."
    )


def test_the_worst_window_decides() -> None:
    calm: dict[str, Any] = {"sent_count": 50_000, "invalid_count": 10}
    wild: dict[str, Any] = {"sent_count": 1_000, "complaint_count": 5}
    verdict = guard.judge([Window(name="today", **calm), Window(name="this campaign", **wild)])
    assert (verdict.level, "this campaign" in verdict.sentence) == (GuardLevel.PAUSE, True)


def test_without_windows_all_is_well() -> None:
    assert guard.judge([]) == GuardVerdict(GuardLevel.OK, "")


def test_complaints_may_be_bounded() -> None:
    bad = Window(name="today", sent_count=1_000, complaint_count=50)
    bounded = guard.judge([bad], complained_max=GuardLevel.WARN)
    assert (bounded.level, bounded.sentence) == (GuardLevel.WARN, guard.judge([bad]).sentence)
    worse = Window(name="today", sent_count=1_000, complaint_count=50, invalid_count=60)
    assert guard.judge([worse], complained_max=GuardLevel.WARN).level is GuardLevel.PAUSE
    good = Window(name="today", sent_count=1_000)
    assert guard.judge([good], complained_max=GuardLevel.WARN) == GuardVerdict(GuardLevel.OK, "")


PAUSED = GuardVerdict(GuardLevel.PAUSE, "It was bad.")
SLOWED = GuardVerdict(GuardLevel.SLOW, "It was not good.")


def test_a_pause_is_ended_by_figures_alone() -> None:
    few = [Window(name="the last hour", sent_count=0), Window(name="today", sent_count=499, invalid_count=1)]
    assert guard.decide(PAUSED, few) == guard.decide(PAUSED, []) == PAUSED
    assert guard.decide(SLOWED, few).level is GuardLevel.OK, "what is slowed sends, so silence is no pause of ours"
    enough = [*few, Window(name="the campaign", sent_count=500, invalid_count=11)]
    assert guard.decide(PAUSED, enough).level is GuardLevel.WARN


@given(st.lists(windows, max_size=5))
def test_what_is_not_paused_is_judged_by_its_figures_alone(some: list[Window]) -> None:
    assert guard.decide(SLOWED, some) == guard.judge(some)


@given(st.lists(windows, max_size=5))
def test_only_what_is_wrong_has_a_sentence_and_small_windows_say_nothing(some: list[Window]) -> None:
    verdict = guard.judge(some)
    assert bool(verdict.sentence) == (verdict.level is not GuardLevel.OK)
    assert verdict == guard.judge([w for w in some if w.sent_count >= SENT_COUNT_MIN])


@given(some=st.lists(windows, max_size=4), more=windows)
def test_one_more_window_makes_nothing_better(some: list[Window], more: Window) -> None:
    assert RANK[guard.judge([*some, more]).level] >= RANK[guard.judge(some).level]
