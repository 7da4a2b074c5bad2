"""How long-running parts start and stop. A torture test runs on each of them (tests/unit/engine/test_service.py).

A part is anything with `run` (returns when stopped; raises when it cannot go on) and `stop` (asks `run` to return; safe
twice, and before `run`). `run_all` runs several and stops them in the reverse of their order: name first what others
stand on. A part may have parts of its own (`engine.deliver`). `Rounds` is for those that do the same at an even pace
and may stop a quarter of a second late.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from outrider.base.clock import Clock


class Part(Protocol):
    """Something that runs until it is stopped."""

    async def run(self) -> None:
        """Work until `stop`."""

    def stop(self) -> None:
        """Ask `run` to return soon. Returns at once."""


class Rounds:
    """The rounds of a part that does the same again and again: `async for _ in rounds`. The first comes at once.

    Between the end of one and the next lie `every_s`; `stop` cuts that short. For one `async for` at a time.
    """

    def __init__(self, every_s: float, *, clock: Clock) -> None:
        self._every_s: Final = every_s
        self._clock: Final = clock
        self._nap: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aiter__(self) -> AsyncIterator[None]:
        while not self._stopping:
            yield
            if not self._stopping:
                async with asyncio.TaskGroup() as group:  # A task, so that `stop` can end it and nothing else.
                    self._nap = group.create_task(self._clock.sleep(self._every_s))

    def stop(self) -> None:
        """Let there be no more; heard at once, after the round that goes on."""
        self._stopping = True
        if self._nap is not None:
            self._nap.cancel()


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
