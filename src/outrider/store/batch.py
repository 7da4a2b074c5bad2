"""Group commit: what many callers want written at the same moment is written in one transaction.

    submit(entry) --+                           +--> result
    submit(entry) --+--> [pending] --> write ---+--> result      each waiter is told after the commit
    submit(entry) --+     up to weight_max,     +--> its own error
                          or wait_s after the first

An fsync costs the same for one mail and for two thousand. While a write is under way the next batch gathers, so the
batch grows with the load by itself; `wait_s` only matters on a nearly idle process.

Invariants: every `submit` gets exactly one result or one exception. A write that fails because of a value
(`StoreValueError`, `ConflictError`) is cut in halves until the poisoned entry fails alone. When the database is away
all waiters of that write are told so, and nothing is tried twice behind their backs.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from outrider.base.clock import Clock
from outrider.base.errors import BusyError, ConflictError, StoreUnavailableError
from outrider.store.pool import StoreRolledBackError, StoreValueError

_DEADLOCKS_MAX: Final = 2  # Ours: a third in a row is no chance.
Entry = TypeVar("Entry")
Result = TypeVar("Result")
Write = Callable[[Sequence[Entry]], Awaitable[Sequence[Result | Exception]]]


class GroupCommit(Generic[Entry, Result]):
    """Gathers entries and writes them together. Runs while `run` runs.

    `write` gets at least one entry and answers one result (or an exception for that entry alone) for each, in order.
    It must be all or nothing: when it raises, nothing was kept.
    """

    def __init__(
        self,
        write: Write[Entry, Result],
        *,
        clock: Clock,
        wait_s: float,
        weight_max: int,
        weigh: Callable[[Entry], int] = lambda _: 1,
        writes_max: int = 1,
        pending_max: int = 50_000,
    ) -> None:
        self._write: Final = write
        self._clock: Final = clock
        self._wait_s: Final = wait_s
        self._weight_max: Final = weight_max
        self._weigh: Final = weigh
        self._writes_max: Final = writes_max
        self._pending_max: Final = pending_max
        self._pending: Final[deque[tuple[Entry, asyncio.Future[Result]]]] = deque()
        self._arrived: Final = asyncio.Event()
        self._stopping = False

    async def submit(self, entry: Entry) -> Result:
        """Return the result once the entry is committed.

        Raises:
            BusyError: too much is pending already, or we are stopping; the entry was not taken.
            StoreError, ConflictError: as `write` raised; the entry was not kept.

        Safe: cancelling the caller does not unwrite the entry.
        """
        if self._stopping or len(self._pending) >= self._pending_max:
            raise BusyError("Too much is waiting to be stored; try again in a moment.")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((entry, future))
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Write until `stop`; then write what is pending and return. Cancelled: everybody who waits is told."""
        try:
            async with asyncio.TaskGroup() as writes:
                await self._write_until_stopped(writes)
        finally:
            self._stopping = True
            _tell([future for _, future in self._pending])
            self._pending.clear()

    async def _write_until_stopped(self, writes: asyncio.TaskGroup) -> None:
        slots = asyncio.Semaphore(self._writes_max)
        while True:
            await self._arrived.wait()
            if not self._pending and self._stopping:
                return
            if self._wait_s and not self._stopping and self._weigh_pending() < self._weight_max:
                await self._clock.sleep(self._wait_s)
            await slots.acquire()
            batch = self._take()
            if not self._pending and not self._stopping:
                self._arrived.clear()
            if not batch:
                slots.release()
                continue
            writes.create_task(self._settle(batch)).add_done_callback(lambda _: slots.release())

    def stop(self) -> None:
        """Refuse new entries; `run` returns when the pending ones are written."""
        self._stopping = True
        self._arrived.set()

    def _weigh_pending(self) -> int:
        total = 0
        for entry, _ in self._pending:
            total += self._weigh(entry)
            if total >= self._weight_max:
                break
        return total

    def _take(self) -> list[tuple[Entry, asyncio.Future[Result]]]:
        batch: list[tuple[Entry, asyncio.Future[Result]]] = []
        weight = 0
        while self._pending and (not batch or weight < self._weight_max):
            pair = self._pending.popleft()
            weight += self._weigh(pair[0])
            batch.append(pair)
        return batch

    async def _write_surely(self, entries: Sequence[Entry]) -> Sequence[Result | Exception]:
        """Write; again if the database rolled it back to end a deadlock."""
        for _ in range(_DEADLOCKS_MAX):
            try:
                return await self._write(entries)
            except StoreRolledBackError:
                continue
        return await self._write(entries)

    async def _settle(self, batch: list[tuple[Entry, asyncio.Future[Result]]]) -> None:
        try:
            await self._write_or_split(batch)
        except asyncio.CancelledError:
            _tell([future for _, future in batch])
            raise

    async def _write_or_split(self, batch: list[tuple[Entry, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._write_surely([entry for entry, _ in batch])
        except (StoreValueError, ConflictError) as error:
            if len(batch) == 1:
                _resolve(batch[0][1], error)
                return
            middle = len(batch) // 2
            await self._write_or_split(batch[:middle])
            await self._write_or_split(batch[middle:])
        except Exception as error:  # noqa: BLE001 - the worker loop: every waiter must be told, whatever broke.
            for _, future in batch:
                _resolve(future, error)
        else:
            assert len(results) == len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                _resolve(future, result)


def _tell(futures: Sequence[asyncio.Future[Result]]) -> None:
    """Tell those who wait that nobody will write any more."""
    for future in futures:
        _resolve(future, StoreUnavailableError("The process stopped before this was stored."))


def _resolve(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():  # Its caller was cancelled meanwhile.
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
