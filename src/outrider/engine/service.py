"""How long-running parts start and stop. A torture test runs on each of them (tests/unit/engine/test_service.py).

A part is anything with `run` (returns when stopped; raises when it cannot go on) and `stop` (asks `run` to return; safe
twice, and before `run`). `run_all` runs several and stops them in the reverse of their order: name first what others
stand on. A part may have parts of its own (`engine.deliver`).

Most take the same step again and again: they are `Recurring`. It is made of `Rounds`, an even pace that a stop cuts
short, and of an `Outage`, which lives through a database that is away; parts that do something else beside the step or
after the last one are made of these two themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Protocol

from outrider.base.clock import Clock
from outrider.base.errors import OutriderError, StoreError
from outrider.obs.log import Logger


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


class Repeat:
    """The part that does the same again and again, in a thread: for files that may change."""

    def __init__(self, act: Callable[[], None], every_s: float, *, clock: Clock) -> None:
        """`act` must not raise what can happen."""
        self._act: Final = act
        self._rounds: Final = Rounds(every_s, clock=clock)

    async def run(self) -> None:
        """Do it at once, then every so often until `stop`."""
        async for _ in self._rounds:
            await asyncio.to_thread(self._act)

    def stop(self) -> None:
        """Let `run` return after the round that goes on."""
        self._rounds.stop()


class Outage:
    """Whether the database is away, as one loop sees it. `with outage:` leaves undone what fails of that.

    It is warned of once an outage, not once a try. What else is raised goes through.
    """

    def __init__(
        self, logger: Logger, warning: str, *, kinds: tuple[type[OutriderError], ...] = (StoreError,), **detail: object
    ) -> None:
        """`warning` is the log's event, with `detail`; `kinds` are the errors that pass by themselves."""
        self._logger: Final = logger
        self._warning: Final = warning
        self._kinds: Final = kinds
        self._detail: Final = detail
        self.is_on = False

    def note(self, error: OutriderError) -> None:
        """It failed with this, for the first time or again."""
        if not self.is_on:
            self.is_on = True
            self._logger.warning(self._warning, error=str(error), **self._detail)

    def end(self) -> None:
        """It went well."""
        self.is_on = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if error is None:
            self.end()
        if not isinstance(error, self._kinds):
            return False
        self.note(error)
        return True


class Recurring:
    """A part that takes the same step again and again: at once while there is more to be done, else at an even pace.

    While the database is away it warns once and tries again at that pace. For parts to be derived from.
    """

    def __init__(self, step: Callable[[], Awaitable[object]], every_s: float, *, clock: Clock, outage: Outage) -> None:
        """`step` returns True where there may be more to be done at once; it is asked again unless we are to stop."""
        self._step: Final = step
        self._clock: Final = clock
        self._outage: Final = outage
        self._rounds: Final = Rounds(every_s, clock=clock)
        self._is_stopping = False

    async def run(self) -> None:
        """Take the step now and again until `stop`."""
        async for _ in self._rounds:
            with self._outage:
                while await self._step() is True and not self._is_stopping:
                    await self._clock.sleep(0)

    def stop(self) -> None:
        """Let `run` return, after the step in hand."""
        self._is_stopping = True
        self._rounds.stop()


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
