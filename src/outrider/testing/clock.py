"""Two clocks for tests: one that moves only when told, so that tests of time need none, and the system's.

`FakeClock.advance` moves it at once and wakes everybody who is due, in the order of their instants (those of one
instant in the order in which they went to sleep). `run_for` moves it from one due instant to the next and lets the
woken work in between, so that a loop that sleeps a second ten times in ten seconds does so. `step_wall` moves the wall
clock alone, as an administrator or NTP does.

`RealClock` is for tests in which real processes, sockets or the database take real time; `until` waits for what they do
without telling us. A test may `jump` it, as a machine does that was suspended, or step its wall alone.

Both pass the conformance suite of `base.clock` (tests/unit/base/test_clock.py).
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)  # Where a fake clock starts; any instant would do.
_TURNS: Final = 50  # Turns of the loop that `run_for` gives the woken at each instant.


class FakeClock:
    """A `base.clock.Clock` moved by hand. For one event loop."""

    def __init__(self, now: datetime = EPOCH) -> None:
        assert now.tzinfo is not None
        self._now = now.astimezone(UTC)
        self._monotonic_s = 0.0
        self._order: Final = itertools.count()
        self._sleepers: Final[list[tuple[float, int, asyncio.Future[None]]]] = []
        self._came: asyncio.Event | None = None

    def now(self) -> datetime:
        """Return the present instant of the wall clock."""
        return self._now

    def monotonic_s(self) -> float:
        """Return the seconds this clock was moved since it was made."""
        return self._monotonic_s

    async def sleep(self, delay_s: float) -> None:
        """Return when the clock was moved by `delay_s`; at once, but not before the others' turn, if that is 0."""
        if delay_s <= 0:
            await turn()
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic_s + delay_s, next(self._order), woken))
        if self._came is not None:
            self._came.set()
        await woken

    @property
    def sleeper_count(self) -> int:
        """How many sleep now."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    @property
    def next_wake_s(self) -> float | None:
        """How far to the next instant at which somebody is due; None: nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # Cancelled.
        return self._sleepers[0][0] - self._monotonic_s if self._sleepers else None

    def advance(self, delay_s: float) -> None:
        """Move both clocks and wake who is due. They run when the loop gets its turn."""
        assert delay_s >= 0
        self._move(self._monotonic_s + delay_s)

    async def run_for(self, delay_s: float) -> None:
        """Move both clocks instant by instant, and let the woken work, and sleep again, at each."""
        end_s = self._monotonic_s + delay_s
        await turns()
        while (wait_s := self.next_wake_s) is not None and self._monotonic_s + wait_s <= end_s:
            self._move(self._sleepers[0][0])
            await turns()
        self._move(end_s)
        await turns()

    def step_wall(self, delta_s: float) -> None:
        """Move the wall clock alone, back too. Nobody wakes: sleep is monotonic."""
        self._now += timedelta(seconds=delta_s)

    async def wait_for_sleepers(self, count: int, *, wait_s: float = 5.0) -> None:
        """Return when at least `count` sleep.

        Raises:
            TimeoutError: not within `wait_s` real seconds.
        """
        async with asyncio.timeout(wait_s):
            while self.sleeper_count < count:
                self._came = asyncio.Event()
                await self._came.wait()

    def _move(self, to_s: float) -> None:
        while self._sleepers and self._sleepers[0][0] <= to_s:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
        self._now += timedelta(seconds=to_s - self._monotonic_s)
        self._monotonic_s = to_s


class RealClock:
    """The system's time, plus what the test added."""

    def __init__(self) -> None:
        self._wall_offset_s = 0.0
        self._offset_s = 0.0

    def now(self) -> datetime:
        """Return the present instant."""
        shift = timedelta(seconds=self._offset_s + self._wall_offset_s)
        return datetime.now(UTC) + shift  # noqa: TID251 - another process's time is not ours to move.

    def monotonic_s(self) -> float:
        """Return the loop's time, jumps included."""
        return asyncio.get_running_loop().time() + self._offset_s

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` real seconds."""
        await asyncio.sleep(delay_s)  # noqa: TID251 - as above.

    def jump(self, delay_s: float) -> None:
        """Let time have passed, as for a process that was stopped. Who sleeps sleeps on."""
        self._offset_s += delay_s

    def step_wall(self, delta_s: float) -> None:
        """Move the wall clock alone, back too."""
        self._wall_offset_s += delta_s


async def until(is_so: Callable[[], bool], wait_s: float = 20.0) -> None:
    """Return when `is_so()`. Fails the test after `wait_s`.

    For what processes of the system do without telling us: they end, files appear.
    """
    clock = RealClock()
    end_s = clock.monotonic_s() + wait_s
    while not is_so():
        assert clock.monotonic_s() < end_s, f"still not so after {wait_s} s: {is_so}"
        await clock.sleep(0.01)


async def turn() -> None:
    """Let everybody else who is ready have a turn."""
    turned = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turned.set_result, None)
    await turned


async def turns() -> None:
    """Let everybody go on until they wait for something that only time, or a socket, brings."""
    for _ in range(_TURNS):
        await turn()
