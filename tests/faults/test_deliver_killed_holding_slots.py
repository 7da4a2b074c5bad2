"""Fault: a deliver process is killed while it holds connections.

The kernel closed its sockets; the ledger still counts them. The next owner of its slot starts with none, and so does
whoever opens the ledger next, for slots that nobody has any more. Connections of processes that live are not touched.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outrider.engine.slots import NodeSlots
from outrider.net.ledger import Ledger
from outrider.policy.shaping import Limits
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.slow
LIMITS = Limits(connections=5)
KEY = "gmail"

DELIVER = """
import sys
from pathlib import Path
from outrider.engine.slots import NodeSlots
from outrider.net.ledger import Ledger
from outrider.policy.shaping import Limits
from outrider.testing.clock import FakeClock

clock, slot = FakeClock(), int(sys.argv[2])
with Ledger(Path(sys.argv[1]), slot, clock=clock, capacity=64) as ledger:
    slots = NodeSlots(ledger, slot=slot, clock=clock)
    slots.expect("one", "gmail", Limits(connections=5))
    print(sum(slots.take("one", "gmail") for _ in range(int(sys.argv[3]))), flush=True)
    sys.stdin.read()
"""


@contextmanager
def deliver(path: Path, slot: int, count: int) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that has taken `count` connections."""
    command = [sys.executable, "-c", DELIVER, str(path), str(slot), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert int(child.stdout.readline()) == count
            yield child
        finally:
            child.kill()


def kill(child: "subprocess.Popen[str]") -> None:
    child.kill()
    child.wait(10)


@pytest.mark.parametrize("next_slot", [1, 2], ids=["the slot's next owner", "another process"])
async def test_what_the_dead_held_is_free_and_what_the_living_hold_is_not(tmp_path: Path, next_slot: int) -> None:
    path, clock = tmp_path / "gates", FakeClock()
    with deliver(path, 0, 2), deliver(path, 1, 3) as dying:
        await asyncio.to_thread(kill, dying)
        with Ledger(path, next_slot, clock=clock, capacity=64) as ledger:
            gate = ledger.read(f"one|{KEY}")
            assert gate is not None
            assert list(gate.connections[:3]) == [2, 0, 0]
            slots = NodeSlots(ledger, slot=next_slot, clock=clock)
            slots.expect("one", KEY, LIMITS)
            assert [slots.take("one", KEY) for _ in range(4)] == [True, True, True, False]
