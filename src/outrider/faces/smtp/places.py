"""Places in memory for large messages: so many in all, and of one project fewer, so that some are left for others.

Who waits for one of its project's own places stands in nobody else's way. Each `acquire` that returns is given back by
one `release`; one that is cancelled holds nothing.
"""

import asyncio
from typing import Final
from uuid import UUID


class _Own:
    """The places of one project, while somebody has or wants one."""

    __slots__ = ("free", "users_count")

    def __init__(self, count: int) -> None:
        self.free: Final = asyncio.Semaphore(count)
        self.users_count = 0


class Places:
    """What all connections share."""

    def __init__(self, count: int, *, of_one_count: int) -> None:
        assert 0 < of_one_count <= count
        self._free: Final = asyncio.Semaphore(count)
        self._of_one_count: Final = of_one_count
        self._own: Final[dict[UUID, _Own]] = {}
        self._taken_count = 0

    @property
    def taken_count(self) -> int:
        """How many are taken now."""
        return self._taken_count

    async def acquire(self, project_id: UUID) -> None:
        """Return when the project has one place more. Cancellable."""
        own = self._own.get(project_id)
        if own is None:
            own = self._own[project_id] = _Own(self._of_one_count)
        own.users_count += 1
        has_own = False
        try:
            has_own = await own.free.acquire()
            await self._free.acquire()
        except asyncio.CancelledError:
            self._leave(project_id, has_own=has_own)
            raise
        self._taken_count += 1

    def release(self, project_id: UUID) -> None:
        """Give one of the project's places back."""
        self._taken_count -= 1
        self._free.release()
        self._leave(project_id, has_own=True)

    def _leave(self, project_id: UUID, *, has_own: bool) -> None:
        own = self._own[project_id]
        if has_own:
            own.free.release()
        own.users_count -= 1
        if not own.users_count:
            del self._own[project_id]
