"""Fault: kill -9 of the web process while readers follow links.

What must hold: what is lost came in the last second and a half, as docs/howto/opens-and-clicks.md says; nothing is
counted twice; its successor counts on.
"""

import asyncio
import contextlib
import http.client
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest

from outrider.testing.clock import until
from outrider.testing.postgres import make_folder
from outrider.testing.program import Program
from outrider.testing.readers import Followed, Readers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
COUNT = 400  # More than are followed before the kill.
EVERY_S = 0.02
BEFORE = 150  # So many are followed first, in 3 s and more.
LOST_S = 1.5  # As documented.
SLACK_S = 1.5  # A machine that runs other tests as well.


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


async def test_what_is_lost_is_young(folder: Path) -> None:
    async with Program(folder / "node", env={"OUTRIDER_FACES__WEB_WORKERS": "1"}) as program:
        await program.start("--role", "web")
        readers = await Readers.of(program, COUNT)
        (web,) = [pid for pid, role in program.processes().items() if role == "web"]
        followed: list[Followed] = []

        async def follow() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # The kill ends it.
                await readers.follow_into(followed, range(COUNT - 1), every_s=EVERY_S)

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            await until(lambda: len(followed) >= BEFORE, 60.0)
            killed_at_s = perf_counter()
            await program.kill(web)
        await program.ready()
        counted = await readers.counted()
        lost_s = [killed_at_s - one.at_s for one in followed if one.number not in counted]
        print(f"{len(followed)} followed, {len(lost_s)} lost, the oldest {max(lost_s, default=0.0):.2f} s before")
        assert max(lost_s, default=0.0) < LOST_S + SLACK_S
        assert set(counted.values()) == {1}

        await readers.follow([COUNT - 1])

        async def is_counted() -> bool:
            return COUNT - 1 in await readers.counted()

        await program.until(is_counted)
