"""Fault: a deliver process is killed (SIGKILL) while it holds the lock of a gate, or halfway through writing it.

What must hold: the others go on at once, the gate is as it was before the change, and the dead process's connections
are forgotten when its slot starts again.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from outrider.net.ledger import Ledger
from outrider.policy import throttle
from outrider.policy.shaping import Limits
from outrider.testing.clock import FakeClock

HOLD = """
    import sys
    from pathlib import Path
    from outrider.net.ledger import Ledger
    from outrider.policy import throttle
    from outrider.policy.shaping import Limits
    from outrider.testing.clock import FakeClock

    def change(gate):
        throttle.take_connection(gate, Limits(connections=5), 1, 1.0)
        print("held", flush=True)
        sys.stdin.readline()

    with Ledger(Path(sys.argv[1]), 1, clock=FakeClock(), capacity=128) as ledger:
        ledger.update("10.0.0.1 gmail", lambda gate: throttle.take_connection(gate, Limits(connections=5), 1, 1.0))
        ledger.update("10.0.0.1 gmail", change)
"""


@pytest.mark.slow
def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "gates"
    with (
        Ledger(path, 0, clock=FakeClock(), capacity=128) as ledger,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HOLD), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait(20)
        assert ledger.update("10.0.0.1 gmail", lambda gate: gate.connections[1]) == 1
        assert ledger.update("10.0.0.1 gmail", lambda gate: throttle.admit(gate, Limits(), 1.0)) is None
    with Ledger(path, 1, clock=FakeClock(), capacity=128) as ledger:
        assert ledger.update("10.0.0.1 gmail", lambda gate: sum(gate.connections)) == 0


def test_a_record_whose_writer_died_can_be_read_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "gates"
    with Ledger(path, 0, clock=FakeClock(), capacity=1) as ledger:
        ledger.update("a", lambda gate: throttle.take_connection(gate, Limits(), 0, 1.0))
        with path.open("r+b") as file:
            file.seek(4096 + 4096)
            odd = file.read(1)[0] | 1
            file.seek(4096 + 4096)
            file.write(bytes([odd]))
        gate = ledger.read("a")
        assert gate is not None
        assert sum(gate.connections) == 1
        ledger.update("a", lambda gate: throttle.give_connection(gate, 0))
        assert ledger.update("a", lambda gate: sum(gate.connections)) == 0
