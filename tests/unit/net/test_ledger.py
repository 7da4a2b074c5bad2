"""One file, many processes: nothing is lost, nobody stays locked out, a full table breaks no limit."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.base.vocab import WaitKind
from outrider.net.ledger import FULL_S, KEY_BYTES_MAX, Ledger
from outrider.policy import throttle
from outrider.policy.gate import Gate
from outrider.policy.shaping import Limits, Rate
from outrider.testing.clock import FakeClock

CHILD = """
    import sys
    from pathlib import Path
    from outrider.net.ledger import Ledger
    from outrider.policy import throttle
    from outrider.policy.gate import Gate
    from outrider.policy.shaping import Limits
    from outrider.testing.clock import FakeClock
    path, slot = Path(sys.argv[1]), int(sys.argv[2])
    limits = Limits(connections=60_000)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gates"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger(path, 0, clock=clock, capacity=128) as ledger:
        yield ledger


def child(path: Path, slot: int, body: str) -> "subprocess.Popen[str]":
    code = textwrap.dedent(CHILD) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(slot)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def set_count(count: int, gate: Gate) -> None:
    gate.warm_count = count


def take(gate: Gate, slot: int = 0) -> None:
    assert throttle.take_connection(gate, Limits(connections=1000), slot, 1_800_000_000.0) is None


def test_what_was_changed_is_there_and_survives(path: Path, clock: FakeClock) -> None:
    with Ledger(path, 0, clock=clock) as ledger:
        assert ledger.read("10.0.0.1 gmail") is None
        assert ledger.update("10.0.0.1 gmail", lambda gate: gate.warm_count) == 0
        ledger.update("10.0.0.1 gmail", lambda gate: set_count(7, gate))
    with Ledger(path, 1, clock=clock) as ledger:
        gate = ledger.read("10.0.0.1 gmail")
        assert gate is not None
        assert gate.warm_count == 7
        assert [(key, gate.warm_count) for key, gate in ledger.entries()] == [("10.0.0.1 gmail", 7)]


def test_a_change_that_raises_writes_nothing(ledger: Ledger) -> None:
    def fail(gate: Gate) -> None:
        gate.warm_count = 9
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        ledger.update("a", fail)
    assert ledger.update("a", lambda gate: gate.warm_count) == 0


def test_a_long_key_is_kept_by_its_hash(ledger: Ledger) -> None:
    keys = ["ü" * KEY_BYTES_MAX + str(number) for number in range(3)]
    for number, key in enumerate(keys, 1):
        ledger.update(key, lambda gate, number=number: set_count(number, gate))
    assert [ledger.update(key, lambda gate: gate.warm_count) for key in keys] == [1, 2, 3]
    assert all(len(key) <= KEY_BYTES_MAX and key.startswith("üüü") for key, _ in ledger.entries())


def test_keys_do_not_disturb_each_other(ledger: Ledger) -> None:
    for number in range(100):
        ledger.update(f"key {number}", lambda gate, number=number: (set_count(number, gate), take(gate)))
    assert {key: gate.warm_count for key, gate in ledger.entries()} == {f"key {n}": n for n in range(100)}


@pytest.mark.parametrize("content", [b"x", b"OUTRGATE" + bytes(10_000), bytes(128 * 2048 + 8192)])
def test_a_foreign_file_is_begun_anew(path: Path, clock: FakeClock, content: bytes) -> None:
    path.write_bytes(content)
    with Ledger(path, 0, clock=clock, capacity=128) as ledger:
        ledger.update("a", lambda gate: set_count(3, gate))
        assert ledger.update("a", lambda gate: gate.warm_count) == 3
        assert len(list(ledger.entries())) == 1


def test_idle_gates_make_room(ledger: Ledger, clock: FakeClock) -> None:
    limits = Limits(rates=(Rate(1, 60.0),))
    for number in range(1000):
        clock.advance(61)
        now_s = clock.now().timestamp()
        assert ledger.update(f"key {number}", lambda gate: throttle.admit(gate, limits, now_s)) is None  # noqa: B023
    assert len(list(ledger.entries())) <= 128


def test_a_reused_place_is_not_the_old_key_s_any_more(path: Path, clock: FakeClock) -> None:
    with Ledger(path, 0, clock=clock, capacity=1) as ledger:
        ledger.update("old", take)
        ledger.update("old", lambda gate: throttle.give_connection(gate, 0))
        assert ledger.update("new", lambda gate: sum(gate.connections)) == 0
        assert ledger.read("old") is None
        ledger.update("new", take)
        assert [key for key, _ in ledger.entries()] == ["new"]


def test_a_full_table_makes_wait_and_breaks_no_limit(path: Path, clock: FakeClock) -> None:
    now_s = clock.now().timestamp()
    with Ledger(path, 0, clock=clock, capacity=4) as ledger:
        for number in range(4):
            ledger.update(f"key {number}", take)
        blocked = ledger.update("one more", lambda gate: throttle.admit(gate, Limits(), now_s))
        assert blocked is not None
        assert (blocked.kind, blocked.until_s) == (WaitKind.REST, now_s + FULL_S)
        assert blocked.sentence.startswith("the table of gates is full: resting until ")
        ledger.update("key 2", lambda gate: throttle.give_connection(gate, 0))
        assert ledger.update("one more", lambda gate: throttle.admit(gate, Limits(), now_s)) is None


def test_opening_forgets_the_connections_of_slots_without_a_process(path: Path, clock: FakeClock) -> None:
    with Ledger(path, 0, clock=clock, capacity=128) as ledger:
        for slot in (0, 1, 5):
            ledger.update("a", lambda gate, slot=slot: take(gate, slot))
        assert ledger.update("a", lambda gate: list(gate.connections[:6])) == [1, 1, 0, 0, 0, 1]
    with Ledger(path, 3, clock=clock, capacity=128) as ledger:
        assert ledger.update("a", lambda gate: sum(gate.connections)) == 0


@pytest.mark.slow
def test_a_slot_with_a_process_keeps_its_connections_and_is_nobody_else_s(path: Path, clock: FakeClock) -> None:
    body = """
    with Ledger(path, slot, clock=FakeClock(), capacity=128) as ledger:
        ledger.update("a", lambda gate: throttle.take_connection(gate, limits, slot, 1.0))
        print("taken", flush=True)
        sys.stdin.readline()
    """
    with child(path, 1, body) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with Ledger(path, 0, clock=clock, capacity=128) as ledger:
            assert ledger.update("a", lambda gate: sum(gate.connections)) == 1
        with pytest.raises(OSError, match="unavailable"), Ledger(path, 1, clock=clock, capacity=128):
            pass
        other.communicate("\n", timeout=20)
    with Ledger(path, 0, clock=clock, capacity=128) as ledger:
        assert ledger.update("a", lambda gate: sum(gate.connections)) == 0


@pytest.mark.slow
def test_processes_that_change_the_same_gates_lose_nothing(path: Path, clock: FakeClock) -> None:
    rounds = 3000
    body = f"""
    def more(gate):
        gate.warm_count += 1
        gate.hits = bytes([gate.warm_count % 251]) * len(gate.hits)
    with Ledger(path, slot, clock=FakeClock(), capacity=128) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range({rounds}):
            ledger.update(f"key {{number % 3}}", more)
            gate = ledger.read("key 0")
            assert gate is not None and len(set(gate.hits)) == 1, gate
        print("done", flush=True)
        sys.stdin.readline()
    """
    with child(path, 1, body) as first, child(path, 2, body) as second:
        for other in (first, second):
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
        for other in (first, second):
            assert other.stdin is not None
            other.stdin.write("\n")
            other.stdin.flush()
        for other in (first, second):
            out, _ = other.communicate("\n", timeout=60)
            assert out == "done\n"
    with Ledger(path, 0, clock=clock, capacity=128) as ledger:
        assert sum(gate.warm_count for _, gate in ledger.entries()) == 2 * rounds
