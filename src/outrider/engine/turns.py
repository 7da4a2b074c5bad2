"""Whose turn it is inside a process: transactional before marketing, then the projects in turn, then first come.

    line = Line()                        who waits for a connection of one gate (`engine.gates`)
    places = Places(500, marketing_max=375)   attempts at once in this process (`engine.deliver`)

A project with a thousand lanes waits in one queue of its own, so one with a single lane is next after one of its turns.
The database does the same when it leases lanes (`store.lanes`); this is for what is leased already.
"""

import asyncio
from collections import OrderedDict, deque
from typing import Final
from uuid import UUID

from outrider.base.vocab import Stream

Waiter = asyncio.Future[None]


class Line:
    """Those who wait, in the order of their turns. For one event loop."""

    def __init__(self) -> None:
        self._by_stream: Final[dict[Stream, OrderedDict[UUID, deque[Waiter]]]] = {
            stream: OrderedDict() for stream in Stream
        }
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def has_before(self, stream: Stream) -> bool:
        """Whether anybody waits who comes before a newcomer of `stream`."""
        return bool(self._by_stream[Stream.TRANSACTIONAL]) or bool(self._by_stream[stream])

    async def wait(self, stream: Stream, project_id: UUID, *, is_again: bool = False) -> None:
        """Return when it is our turn.

        Args:
            is_again: the last turn was taken from under us; this time we are first of our project.

        Safe: cancellable; a turn that comes in the same moment goes to the next.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        queue = self._by_stream[stream].setdefault(project_id, deque())
        if is_again:
            queue.appendleft(waiter)
            self._by_stream[stream].move_to_end(project_id, last=False)
        else:
            queue.append(waiter)
        self._count += 1
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.next()
            elif waiter in queue:
                self._remove(stream, project_id, waiter)
            raise

    def next(self, *streams: Stream) -> bool:
        """Give the turn to who is first, of these streams if any are named; False if nobody waits."""
        for stream in streams or Stream:
            queues = self._by_stream[stream]
            while queues:
                project_id, queue = next(iter(queues.items()))
                waiter = queue[0]
                self._remove(stream, project_id, waiter)
                if project_id in queues:
                    queues.move_to_end(project_id)
                if not waiter.done():
                    waiter.set_result(None)
                    return True
        return False

    def _remove(self, stream: Stream, project_id: UUID, waiter: Waiter) -> None:
        queues = self._by_stream[stream]
        queues[project_id].remove(waiter)
        self._count -= 1
        if not queues[project_id]:
            del queues[project_id]


class Places:
    """A bounded number of places, given out in the order of turns. Marketing never takes the last ones."""

    def __init__(self, count: int, *, marketing_max: int) -> None:
        self._free_count = count
        self._marketing_free_count = marketing_max
        self._line: Final = Line()

    async def acquire(self, stream: Stream, project_id: UUID) -> None:
        """Take a place; wait for it if there is none. Give it back with `release`."""
        is_again = False
        while not self._may_take(stream) or (not is_again and self._line.has_before(stream)):
            await self._line.wait(stream, project_id, is_again=is_again)
            is_again = True
        self._free_count -= 1
        self._marketing_free_count -= stream is Stream.MARKETING

    def release(self, stream: Stream) -> None:
        """Give a place back."""
        self._free_count += 1
        self._marketing_free_count += stream is Stream.MARKETING
        if self._marketing_free_count > 0:
            self._line.next()
        else:
            self._line.next(Stream.TRANSACTIONAL)

    def _may_take(self, stream: Stream) -> bool:
        return self._free_count > 0 and (stream is not Stream.MARKETING or self._marketing_free_count > 0)
