"""What passes gates that hold nothing back, counted in bulk: the ledger learns the same, a moment later."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.engine.tally import Tally
from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.testing.clock import FakeClock

KEY = "one|gmail"
START_S = 1_800_000_000.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "gates", 0, clock=FakeClock(), capacity=1024) as ledger:
        yield ledger


def count(tally: Tally, now_s: float, *, attempts: int, delivered: int) -> None:
    for _ in range(attempts):
        tally.attempt(KEY, now_s)
    for _ in range(delivered):
        tally.delivered(KEY, now_s)


def test_nothing_is_told_before_somebody_looks(ledger: Ledger) -> None:
    tally = Tally(ledger)
    count(tally, START_S, attempts=7, delivered=5)
    assert ledger.read(KEY) is None
    gate = tally.look(KEY, START_S + 0.2)
    assert gate is not None
    assert (gate.seen, gate.answered, gate.taken) == (7, 5, 5)
    again = tally.look(KEY, START_S + 0.4)
    assert again is not None
    assert (again.seen, again.answered) == (7, 5)


def test_a_gate_that_nobody_used_is_not_made(ledger: Ledger) -> None:
    assert Tally(ledger).look(KEY, START_S) is None
    assert list(ledger.entries()) == []


def test_two_processes_count_together(ledger: Ledger) -> None:
    one, two = Tally(ledger), Tally(ledger)
    count(one, START_S + 0.1, attempts=3, delivered=3)
    count(two, START_S, attempts=4, delivered=2)
    one.look(KEY, START_S + 0.2)
    gate = two.look(KEY, START_S + 0.25)
    assert gate is not None
    assert (gate.seen, gate.answered, gate.taken) == (7, 5, pytest.approx(5, rel=0.02))


def test_a_complaint_finds_everything_counted(ledger: Ledger) -> None:
    """A hundred a second for ten seconds, then "slower": the rate starts from the hundred."""
    tally = Tally(ledger)
    for tick in range(200):
        now_s = START_S + tick / 20
        count(tally, now_s, attempts=5, delivered=5)
        if tick % 5 == 0:
            tally.look(KEY, now_s)
    end_s = START_S + 10.0

    def slower(gate: Gate) -> float:
        throttle.answer(gate, end_s, started_at_s=end_s, is_throttled=True, is_delivered=False)
        return gate.rate

    assert tally.update(KEY, end_s, slower) == pytest.approx(95, rel=0.1)


def test_what_came_before_the_decrease_is_no_evidence_about_the_new_speed(ledger: Ledger) -> None:
    here, there = Tally(ledger), Tally(ledger)
    count(here, START_S, attempts=50, delivered=50)
    here.look(KEY, START_S + 1)
    count(there, START_S + 1, attempts=50, delivered=50)

    def slower(gate: Gate) -> None:
        throttle.answer(gate, START_S + 1.2, started_at_s=START_S + 1.1, is_throttled=True, is_delivered=False)

    here.update(KEY, START_S + 1.2, slower)
    before = ledger.read(KEY)
    after = there.look(KEY, START_S + 1.25)
    assert before is not None
    assert after is not None
    assert (after.rate, after.answered, after.decreased_at_s) == (before.rate, 0, before.decreased_at_s)
    assert after.taken == pytest.approx(100, rel=0.15)  # But it was taken.


def test_a_change_that_fails_is_not_written_and_its_error_is_seen(ledger: Ledger) -> None:
    tally = Tally(ledger)
    count(tally, START_S, attempts=1, delivered=0)
    with pytest.raises(ZeroDivisionError):
        tally.update(KEY, START_S, lambda _: 1 / 0)


def test_thousands_of_keys_are_told_before_they_fill_the_memory(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outrider.engine.tally._KEYS_COUNT_MAX", 10)
    tally = Tally(ledger)
    for number in range(25):
        tally.attempt(f"one|site{number}", START_S)
    assert len(list(ledger.entries())) > 10  # Not quite 20: an idle gate makes room for another.
