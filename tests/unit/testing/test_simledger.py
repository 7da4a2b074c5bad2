"""A simulated node's ledger answers as the mapped file does: one random script on both."""

import random
from pathlib import Path

import pytest

from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.shaping import Act, Limits, Rate, Reaction
from outrider.testing.clock import FakeClock
from outrider.testing.simledger import NodeBook, SimLedger

LIMITS = Limits(connections=2, rates=(Rate(3, 10.0), Rate(20, 60.0)))
PAUSE = Reaction(rule="test.pause", act=Act.PAUSE, for_s=5.0)
STEPS = 300


def step(ledger: Ledger, chance: random.Random, now_s: float) -> object:
    """Do one thing; return the answer."""
    key, slot = f"mta1|{chance.randrange(3)}", chance.randrange(3)
    match chance.randrange(6):
        case 0:
            return ledger.update(key, lambda g: throttle.admit(g, LIMITS, now_s))
        case 1:
            return ledger.update(key, lambda g: throttle.take_connection(g, LIMITS, slot, now_s))
        case 2:
            return ledger.update(key, lambda g: throttle.give_connection(g, slot))
        case 3:
            return ledger.update(key, lambda g: throttle.react(g, PAUSE, now_s))
        case 4:
            return ledger.read(key)
        case _:
            return sorted((name, gate.connections.tobytes()) for name, gate in ledger.entries())


def play(ledger: Ledger, clock: FakeClock, seed: int) -> list[object]:
    """Do the script; return all answers."""
    chance, answers = random.Random(seed), list[object]()
    for _ in range(STEPS):
        clock.advance(chance.choice((0.0, 0.5, 3.0)))
        answers.append(step(ledger, chance, clock.now().timestamp()))
    return answers


@pytest.mark.parametrize("seed", range(3))
def test_it_answers_as_the_file_does(tmp_path: Path, seed: int) -> None:
    clock = FakeClock()
    with Ledger(tmp_path / "gates", 0, clock=clock) as real:
        expected = play(real, clock, seed)
    with SimLedger(NodeBook(), 0) as ledger:
        assert play(ledger, FakeClock(), seed) == expected


def test_a_dead_process_changes_nothing_and_its_connections_are_forgotten() -> None:
    book = NodeBook()
    with SimLedger(book, 0) as first:
        first.update("k", lambda gate: throttle.take_connection(gate, LIMITS, 0, 1.0))
        first.kill()
        first.update("k", lambda gate: throttle.take_connection(gate, LIMITS, 0, 1.0))
        with SimLedger(book, 0) as second:
            gate = second.read("k")
            assert gate is not None
            assert sum(gate.connections) == 0


def test_a_slot_is_one_process_s() -> None:
    book = NodeBook()
    with SimLedger(book, 0), pytest.raises(BlockingIOError):
        SimLedger(book, 0).__enter__()
