"""How long-running parts start and stop. A torture test runs on each of them (tests/unit/engine/test_service.py).

A part is anything with `run` (returns when stopped; raises when it cannot go on) and `stop` (asks `run` to return; safe
twice, and before `run`). `run_all` runs several and stops them in the reverse of their order, so that what others
stand on (the settler, the lane keeper) stops last.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol


class Part(Protocol):
    """Something that runs until it is stopped."""

    async def run(self) -> None:
        """Work until `stop`."""

    def stop(self) -> None:
        """Ask `run` to return soon. Returns at once."""


async def run_all(parts: Sequence[Part], stop_asked: asyncio.Event) -> None:
    """Run all `parts` until `stop_asked` is set or one of them fails; then stop them, last one first, each in turn.

    Raises:
        ExceptionGroup: a part failed; the others have been cancelled.
    """
    async with asyncio.TaskGroup() as group:
        running = [(part, group.create_task(part.run())) for part in parts]
        await _first_of(group, stop_asked, [run for _, run in running])
        for part, run in reversed(running):
            part.stop()
            await asyncio.wait([run])


async def _first_of(group: asyncio.TaskGroup, asked: asyncio.Event, runs: Sequence[asyncio.Task[None]]) -> None:
    """Return when `asked` is set or any of `runs` is done."""
    waiter = group.create_task(asked.wait())
    await asyncio.wait([waiter, *runs], return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    await asyncio.wait([waiter])
