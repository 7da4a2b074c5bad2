"""A lane while a process works on it: its attempts under way, its places for more, and why it stops if it must wait."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final
from uuid import UUID

from outrider.net.site import Site
from outrider.policy.shaping import Place
from outrider.store.lanes import Lane, Pause


class LaneWork:
    """One lease of one lane. `pause` set: nothing more of it may start now, for the reason it says."""

    def __init__(self, lane: Lane, group: asyncio.TaskGroup, *, lane_in_flight_max: int) -> None:
        self.lane: Final = lane
        self.places: Final = asyncio.Semaphore(lane_in_flight_max)
        self.attempts: Final[set[asyncio.Task[None]]] = set()
        self.site: Site | None = None  # Whither, once it was routed,
        self.place: Place | None = None  # and whose limits it is counted by.
        self.pause: Pause | None = None
        self.parked: Final[dict[UUID, list[UUID]]] = {}  # By session in a hold: its recipients that were claimed.
        self.is_interrupted = False  # An attempt could not be made because the database was away; nothing was written.
        self._group: Final = group

    @property
    def provider(self) -> str:
        """What the lane's limits are counted by: a provider's name or a site's; "" before it was routed."""
        return self.place.key if self.place is not None else ""

    async def is_idle_within(self, wait_s: float) -> bool:
        """Whether all attempts under way end within `wait_s`; none is disturbed."""
        return not self.attempts or not (await asyncio.wait(self.attempts, timeout=wait_s))[1]

    async def has_end_within(self, wait_s: float) -> bool:
        """Whether any attempt under way ends within `wait_s`; none is disturbed. There must be one."""
        return bool((await asyncio.wait(self.attempts, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED))[0])

    def begin(self, attempt: Coroutine[None, None, None], on_end: Callable[[], None]) -> None:
        """Run `attempt`; give its place back when it ends, and tell `on_end`."""
        running = self._group.create_task(attempt)
        self.attempts.add(running)
        running.add_done_callback(self._on_end)
        running.add_done_callback(lambda _: on_end())

    def _on_end(self, ended: asyncio.Task[None]) -> None:
        self.attempts.discard(ended)
        self.places.release()
