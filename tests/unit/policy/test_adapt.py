"""The learned rate, step by step. How it settles at real limiters is tests/sim/test_throttle_settles.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy import adapt
from outrider.policy.gate import Gate

NOW_S = 1_800_000_000.0


def reply(gate: Gate, at_s: float, *, throttled: bool = False, started_s: float | None = None) -> None:
    started_s = at_s if started_s is None else started_s
    adapt.answer(gate, NOW_S + at_s, started_at_s=NOW_S + started_s, is_throttled=throttled, is_delivered=not throttled)


def attempts(gate: Gate, from_s: float, until_s: float, count: int, *, throttled_every: int = 0) -> None:
    """Make so many attempts evenly in that time, each answered at once."""
    for number in range(1, count + 1):
        at_s = from_s + (until_s - from_s) * number / count
        adapt.attempt(gate, NOW_S + at_s)
        reply(gate, at_s, throttled=throttled_every > 0 and number % throttled_every == 0)


def slowed(rate: float) -> Gate:
    """Return a gate that was slowed to this rate, which is also what it remembers, at `NOW_S`."""
    gate = Gate()
    adapt.start(gate, rate, NOW_S)
    gate.decreased_at_s = NOW_S
    return gate


def test_without_a_complaint_there_is_no_rate() -> None:
    gate = Gate()
    attempts(gate, 0, 100, 5000)
    assert gate.rate == gate.learned == 0
    assert adapt.due_at_s(gate, NOW_S + 100) == 0


def test_the_first_complaint_starts_from_the_measured_rate() -> None:
    gate = Gate()
    attempts(gate, 0, 20, 800)
    reply(gate, 20, throttled=True)
    assert gate.rate == pytest.approx(40 * 0.95, rel=0.1)


@pytest.mark.parametrize(("every", "kept"), [(20, 0.95), (10, 0.95), (4, 0.875), (2, 0.75)])
def test_it_falls_in_proportion_to_what_is_refused(every: int, kept: float) -> None:
    gate = slowed(10.0)
    attempts(gate, 0, 1.99, 20)
    gate.answered, gate.throttled = 20, 20 // every - 1
    reply(gate, 2, throttled=True)
    assert gate.rate == pytest.approx(10 * kept, rel=0.05)


def test_when_nothing_is_taken_it_falls_to_an_eighth_at_most() -> None:
    gate = slowed(80.0)
    attempts(gate, 0, 1, 80, throttled_every=1)
    assert gate.rate == pytest.approx(10.0)
    assert gate.learned == pytest.approx(40.0)


def test_one_event_counts_once() -> None:
    gate = slowed(10.0)
    attempts(gate, 0, 2, 20, throttled_every=2)
    rate = gate.rate
    for number in range(50):
        reply(gate, 2.1 + number / 10, throttled=True, started_s=1.5)
    assert gate.rate == rate


def test_it_never_falls_under_the_floor() -> None:
    gate = slowed(0.2)
    attempts(gate, 0, 1000, 100, throttled_every=1)
    assert gate.rate == adapt.RATE_MIN


def test_it_rises_half_way_to_what_it_remembers_then_by_small_steps() -> None:
    gate = slowed(10.0)
    gate.rate = 8.0
    attempts(gate, 0, 5.01, 40)
    assert gate.rate == 9.0
    gate.rate = 20.0
    attempts(gate, 5.01, 10.1, 100)
    assert gate.rate == pytest.approx(20.0 + 0.5)


@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_no_step_doubles(rate: float, learned: float) -> None:
    gate = slowed(learned)
    gate.rate = rate
    attempts(gate, 0, 12, 1500)
    assert gate.rate < 2 * rate * 2  # Two rounds at most in this time.


def test_a_rate_that_is_not_used_stays() -> None:
    gate = slowed(10.0)
    attempts(gate, 0, 100, 100)
    assert gate.rate == 10.0


def test_what_says_nothing_about_speed_changes_nothing() -> None:
    gate = slowed(10.0)
    before = gate.round_at_s, gate.answered, gate.taken_at_s
    adapt.answer(gate, NOW_S + 9, started_at_s=NOW_S + 8, is_throttled=False, is_delivered=False)
    assert (gate.round_at_s, gate.answered, gate.taken_at_s) == before


@pytest.mark.parametrize(("rate", "quiet_s", "is_free"), [(10.0, 60, False), (10.0, 86_400, True), (210.0, 60, True)])
def test_it_is_free_again_after_a_day_or_at_twenty_times(rate: float, quiet_s: float, is_free: bool) -> None:
    gate = slowed(10.0)
    gate.rate = rate
    reply(gate, quiet_s)
    assert (gate.rate == 0) == is_free
    assert (gate.learned == 0) == is_free


def test_half_the_rate_follows_a_pause_and_comes_back_by_steps() -> None:
    gate = slowed(10.0)
    adapt.halve(gate, NOW_S + 1)
    assert gate.rate == gate.learned == 5.0
    attempts(gate, 600, 606, 30)
    assert gate.rate == pytest.approx(5.0, rel=0.06)


def test_a_pause_where_nothing_was_sent_teaches_nothing() -> None:
    pool = Gate()
    adapt.halve(pool, NOW_S)
    assert pool == Gate()


def test_a_new_source_starts_from_what_its_pool_remembers() -> None:
    pool, gate = Gate(), Gate()
    assert adapt.recall(pool, NOW_S) == 0
    adapt.keep(pool, 6.0, NOW_S)
    adapt.keep(pool, 4.0, NOW_S)
    assert adapt.recall(pool, NOW_S) == 5.0
    adapt.start(gate, adapt.recall(pool, NOW_S), NOW_S)
    assert gate.rate == gate.learned == 5.0
    adapt.start(gate, 50.0, NOW_S)
    assert gate.rate == 5.0
    assert adapt.recall(pool, NOW_S + 86_400) == 0


def test_a_clock_that_steps_back_does_not_make_it_deaf() -> None:
    gate = slowed(10.0)
    attempts(gate, 0, 1, 10)
    attempts(gate, -3600, -3597, 30, throttled_every=2)
    assert gate.rate < 10.0
    assert adapt.due_at_s(gate, NOW_S - 3597) - (NOW_S - 3597) <= 1 / gate.rate
