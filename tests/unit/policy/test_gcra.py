"""Hard rates hold in every window, wherever it begins, and are used to nine tenths."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outrider.policy import gcra

NOW_S = 1_800_000_000.0
LIMITS = st.tuples(st.integers(1, 40), st.sampled_from([1.0, 60.0, 3600.0, 86400.0]))


def play(count: int, window_s: float, gaps: list[float]) -> list[float]:
    """Return the instants at which one passed, when somebody asks after each gap, given in windows."""
    pace, tat_s, now_s, passed = gcra.pace_of(count, window_s), 0.0, NOW_S, []
    for gap in gaps:
        now_s += gap * window_s
        if gcra.due_at_s(tat_s, now_s, pace) <= now_s:
            tat_s = gcra.passed(tat_s, now_s, pace)
            passed.append(now_s)
    return passed


@given(LIMITS, st.lists(st.floats(0, 0.3) | st.just(0.0), min_size=50, max_size=300))
@example((1, 1.0), [0.5] * 50)
@example((10, 1.0), [0.01] * 300)
def test_no_window_holds_more_than_the_limit(limit: tuple[int, float], gaps: list[float]) -> None:
    count, window_s = limit
    passed = play(count, window_s, gaps)
    for first, over in zip(passed, passed[count:], strict=False):
        assert over - first >= window_s


@pytest.mark.parametrize("count", [1, 2, 5, 10, 60, 1000])
@pytest.mark.parametrize("window_s", [1.0, 60.0, 86400.0])
def test_an_eager_sender_gets_most_of_it(count: int, window_s: float) -> None:
    pace, tat_s, now_s = gcra.pace_of(count, window_s), 0.0, NOW_S
    passed: list[float] = []
    while now_s < NOW_S + 5 * window_s:
        tat_s = gcra.passed(tat_s, now_s, pace)
        passed.append(now_s)
        now_s = max(now_s, gcra.due_at_s(tat_s, now_s, pace))
    assert len(passed) >= (0.81 if window_s == 1 else 0.89) * 5 * count
    assert all(over - first >= window_s for first, over in zip(passed, passed[count:], strict=False))


def test_the_burst_is_small() -> None:
    passed = play(2000, 86400.0, [0.0] * 2000)
    assert len(passed) in (gcra.BURST_COUNT_MAX, gcra.BURST_COUNT_MAX + 1)


@given(LIMITS, st.floats(0, 1e8))
def test_a_clock_that_steps_back_blocks_for_no_longer_than_the_window(limit: tuple[int, float], step_s: float) -> None:
    pace = gcra.pace_of(*limit)
    tat_s = 0.0
    while gcra.due_at_s(tat_s, NOW_S, pace) <= NOW_S:
        tat_s = gcra.passed(tat_s, NOW_S, pace)
    now_s = NOW_S - step_s
    assert gcra.due_at_s(tat_s, now_s, pace) - now_s <= limit[1] * 1.12
    tat_s = gcra.passed(tat_s, now_s, pace)
    assert tat_s - now_s <= 2 * pace.interval_s + pace.tolerance_s + 1e-3


@given(LIMITS, st.lists(st.floats(0, 0.2), min_size=20, max_size=100), st.floats(0, 5), st.integers(0, 50))
def test_the_limit_holds_across_a_step_back(limit: tuple[int, float], gaps: list[float], back: float, at: int) -> None:
    count, window_s = limit
    pace, tat_s, true_s, offset_s = gcra.pace_of(count, window_s), 0.0, NOW_S, 0.0
    passed: list[float] = []
    for number, gap in enumerate(gaps):
        true_s += gap * window_s
        offset_s = -back * window_s if number >= at else 0.0
        wall_s = true_s + offset_s
        if gcra.due_at_s(tat_s, wall_s, pace) <= wall_s:
            tat_s = gcra.passed(tat_s, wall_s, pace)
            passed.append(true_s)
    slack_s = 2e-6 * (1 + back) + window_s * 1e-12
    assert all(over - first >= window_s - slack_s for first, over in zip(passed, passed[count:], strict=False))
