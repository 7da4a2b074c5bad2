"""Whose turn it is inside a process: transactional before marketing, then the projects in turn, then first come.

    line = Line()                        who waits for a connection of one gate (`engine.lines`)
    absence = Absence()                  who was sent away from it, since its next token is far
    places = Places(500, marketing_max=375)   attempts at once in this process (`engine.deliver`)

A project with a thousand lanes waits in one queue of its own, so one with a single lane is next after one of its turns.
The database does the same when it leases lanes (`store.lanes`); this is for what is leased already.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from outrider.base.vocab import Stream

Waiter = asyncio.Future[None]
_ABSENT_COUNT_MAX: Final = 100  # Ours: projects at one slow gate, and lanes of each; more are served by luck.
_PASSED_COUNT_MAX: Final = 2  # Ours: a project may send a few in a row, as one does over an open connection.


class Line:
    """Those who wait, in the order of their turns. For one event loop."""

    def __init__(self, on_unused: Callable[[Stream], None] | None = None) -> None:
        """`on_unused` hears of a turn that came when its owner was just cancelled; without it, it goes to the next."""
        self._by_stream: Final[dict[Stream, OrderedDict[UUID, deque[Waiter]]]] = {
            stream: OrderedDict() for stream in Stream
        }
        self._counts: Final = dict.fromkeys(Stream, 0)
        self._on_unused: Final = on_unused or (lambda _: self.next())

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count_before(self, stream: Stream) -> int:
        """How many wait who come before a newcomer of `stream`, whatever his project."""
        transactional_count = self._counts[Stream.TRANSACTIONAL]
        return transactional_count if stream is Stream.TRANSACTIONAL else len(self)

    def is_full_for(self, stream: Stream, project_id: UUID, count_max: int) -> bool:
        """Whether the project has its share of `count_max` in that stream: all of it alone, half of it with another.

        So the line may be longer, but nobody who waits with a thousand lanes keeps out one who has a single lane.
        """
        queues = self._by_stream[stream]
        count = len(queues.get(project_id, ()))
        sharing = len(queues) + (project_id not in queues)
        return count > 0 and count >= count_max // sharing

    async def wait(self, stream: Stream, project_id: UUID, *, is_again: bool = False) -> None:
        """Return when it is our turn.

        Args:
            is_again: the last turn was of no use to us; this time we are first.

        Safe: cancellable; a turn that comes in the same moment is not lost.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        queues = self._by_stream[stream]
        queue = queues.setdefault(project_id, deque())
        if is_again:
            queue.appendleft(waiter)
            queues.move_to_end(project_id, last=False)
        else:
            queue.append(waiter)
        self._counts[stream] += 1
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._remove(stream, project_id, waiter)
            else:
                self._on_unused(stream)
            raise

    def next(self, *streams: Stream) -> Stream | None:
        """Give the turn to who is first, of these streams if any are named; return his stream, None if nobody waits."""
        for stream in streams or Stream:
            queues = self._by_stream[stream]
            for project_id, queue in queues.items():
                # One who was cancelled takes himself out when he runs.
                waiter = next((one for one in queue if not one.done()), None)
                if waiter is not None:
                    self._remove(stream, project_id, waiter)
                    if project_id in queues:
                        queues.move_to_end(project_id)
                    waiter.set_result(None)
                    return stream
        return None

    def _remove(self, stream: Stream, project_id: UUID, waiter: Waiter) -> None:
        queues = self._by_stream[stream]
        queues[project_id].remove(waiter)
        self._counts[stream] -= 1
        if not queues[project_id]:
            del queues[project_id]


class Places:
    """A bounded number of places, given out in the order of turns. Marketing never takes the last ones.

    A place that becomes free is its next owner's at once, even before he runs, so nobody overtakes him.
    """

    def __init__(self, count: int, *, marketing_max: int) -> None:
        self._free_count = count
        self._marketing_free_count = marketing_max
        self._line: Final = Line(self.release)

    @property
    def free_count(self) -> int:
        """How many nobody has."""
        return self._free_count

    async def acquire(self, stream: Stream, project_id: UUID) -> None:
        """Take a place; wait for it if there is none. Give it back with `release`. Safe: cancellable."""
        if self._may_take(stream):
            self._take(stream)
        else:
            await self._line.wait(stream, project_id)

    def release(self, stream: Stream) -> None:
        """Give a place back."""
        self._free_count += 1
        self._marketing_free_count += stream is Stream.MARKETING
        while (streams := [one for one in Stream if self._may_take(one)]) and (taker := self._line.next(*streams)):
            self._take(taker)

    def _take(self, stream: Stream) -> None:
        self._free_count -= 1
        self._marketing_free_count -= stream is Stream.MARKETING

    def _may_take(self, stream: Stream) -> bool:
        """Whether there is one. Then nobody of the stream waits: `release` sees to that."""
        return self._free_count > 0 and (stream is not Stream.MARKETING or self._marketing_free_count > 0)


class _Absent(msgspec.Struct):
    """A project with lanes that were sent away from a gate."""

    lanes: dict[int, float]  # Those that are away, and when each is back at the latest.
    until_s: float = 0.0  # When the last of them is.
    passed_count: int = 0  # Others of its stream that were let in since one of it was.


class Absence:
    """Who was sent away from a gate and will come back: their right is older than that of those who come meanwhile.

    In a line all wait together and turns decide. Where a token comes too seldom to wait for it, the lanes are sent away
    and come back one by one; without this it would be luck who finds the token, and luck knows no streams and projects.
    Who does not come back in time is forgotten, so a lane that another process has now holds nobody up. Instants are
    monotonic.
    """

    def __init__(self) -> None:
        self._projects: Final[dict[tuple[Stream, UUID], _Absent]] = {}

    def __len__(self) -> int:
        return len(self._projects)

    def note(self, stream: Stream, project_id: UUID, lane_id: int, until_s: float, *, now_s: float) -> None:
        """A lane is sent away and comes back before `until_s`."""
        key = (stream, project_id)
        if key not in self._projects and len(self._projects) >= _ABSENT_COUNT_MAX:
            self._forget(now_s)
            if len(self._projects) >= _ABSENT_COUNT_MAX:
                return
        absent = self._projects.setdefault(key, _Absent({}))
        if lane_id in absent.lanes or len(absent.lanes) < _ABSENT_COUNT_MAX:
            absent.lanes[lane_id] = until_s
            absent.until_s = max(absent.until_s, until_s)

    def came_back(self, stream: Stream, project_id: UUID, lane_id: int) -> None:
        """A lane is there again, or is another's now."""
        absent = self._projects.get((stream, project_id))
        if absent is not None:
            absent.lanes.pop(lane_id, None)

    def let_in(self, stream: Stream, project_id: UUID) -> None:
        """A mail of the project was let in."""
        for (whose, other_id), absent in self._projects.items():
            if whose is stream:
                absent.passed_count = 0 if other_id == project_id else absent.passed_count + 1

    def is_before(self, stream: Stream, project_id: UUID, *, now_s: float) -> bool:
        """Whether somebody who is away comes before this project: transactional mail, or who was passed over more."""
        if not self._projects:
            return False
        self._forget(now_s)
        own = self._projects.get((stream, project_id))
        least_count = max(_PASSED_COUNT_MAX, own.passed_count if own is not None else 0)
        for (whose, other_id), absent in self._projects.items():
            is_first = whose is Stream.TRANSACTIONAL and stream is Stream.MARKETING
            is_passed = whose is stream and other_id != project_id and absent.passed_count > least_count
            if (is_first or is_passed) and any(until_s > now_s for until_s in absent.lanes.values()):
                return True
        return False

    def _forget(self, now_s: float) -> None:
        for key in [key for key, absent in self._projects.items() if absent.until_s <= now_s]:
            del self._projects[key]
