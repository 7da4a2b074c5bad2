"""Fault: the database hangs, and readers follow more links than a web process may keep.

What must hold: they are led on; the first ones are kept and counted once it goes on; what came beyond the bound is
lost, and the metric and the log say how many.
"""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from outrider.testing.postgres import make_folder
from outrider.testing.program import Program
from outrider.testing.readers import Readers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
BOUND = 100
COUNT = 600
IN_WRITING = BOUND  # A batch that was taken out to be written makes room for as many.


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


async def lost(program: Program) -> int:
    text = (await program.request("GET", "/metrics")).body.decode()
    found = re.search(r'^outrider_tracking_hits_total\{outcome="lost"\} (\d+)', text, re.MULTILINE)
    return int(found[1]) if found else 0


async def test_the_first_are_kept_and_the_rest_is_told(folder: Path) -> None:
    env = {"OUTRIDER_FACES__WEB_WORKERS": "1", "OUTRIDER_TRACKING__HITS_WAITING_MAX": str(BOUND)}
    async with Program(folder / "node", env=env) as program:
        await program.start("--role", "web")
        readers = await Readers.of(program, COUNT)
        program.signal("postgres", signal.SIGSTOP)
        await readers.follow(range(COUNT))
        lost_count = await lost(program)
        program.signal("postgres", signal.SIGCONT)
        assert COUNT - BOUND - IN_WRITING <= lost_count <= COUNT - BOUND

        async def rest_is_counted() -> bool:
            return len(await readers.counted()) == COUNT - lost_count

        await program.until(rest_is_counted)
        counted = await readers.counted()
        assert set(counted.values()) == {1}
        assert set(range(BOUND)) <= counted.keys()
        assert await lost(program) == lost_count

        async def is_told() -> bool:
            lines = [line for line in program.log_path.read_text("utf-8").splitlines() if '"hits_lost"' in line]
            told = [msgspec.json.decode(line)["count"] for line in lines]
            return sum(told) == lost_count

        await program.until(is_told)
