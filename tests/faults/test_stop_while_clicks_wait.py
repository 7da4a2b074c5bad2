"""Fault: we are told to stop while clicks wait in memory, none of them older than a second.

What must hold: the stop writes them; each is counted once.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.testing.postgres import make_folder
from outrider.testing.program import Program
from outrider.testing.readers import Readers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
COUNT = 200


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


async def test_a_stop_writes_them(folder: Path) -> None:
    async with Program(folder / "node") as program:
        await program.start("--role", "web")
        readers = await Readers.of(program, COUNT)
        await readers.follow(range(COUNT))
        await program.stop()
        await program.serve("--role", "web")
        await program.ready()
        assert await readers.counted() == dict.fromkeys(range(COUNT), 1)
