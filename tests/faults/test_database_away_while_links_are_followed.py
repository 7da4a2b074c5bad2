"""Fault: the database hangs, then dies, while readers follow links.

What must hold: they are led on at once; every click is counted, once, when the database is back.
"""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider.testing.postgres import make_folder
from outrider.testing.program import Program
from outrider.testing.readers import Readers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
COUNT = 40  # Half of them while it hangs, half while it is gone.
AT_ONCE_S = 1.0  # On a busy machine; by itself it takes a millisecond.
BACK_S = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


async def test_readers_are_led_on_and_all_is_counted_later(folder: Path) -> None:
    async with Program(folder / "node", env={"OUTRIDER_FACES__WEB_WORKERS": "1"}) as program:
        await program.start("--role", "web")
        readers = await Readers.of(program, COUNT)
        program.signal("postgres", signal.SIGSTOP)
        followed = [*await readers.follow(range(COUNT // 2))]
        program.signal("postgres", signal.SIGKILL)
        followed += await readers.follow(range(COUNT // 2, COUNT))
        assert max(one.waited_s for one in followed) < AT_ONCE_S
        await program.until(readers.all_counted, BACK_S)
        assert set((await readers.counted()).values()) == {1}
