"""A model of the database for simulations: every statement that accept, delivery and control use, in memory.

    database = SimDatabase(loop, random.Random(seed))
    store = SimStore(database)                  one for each simulated process; `kill` cuts it off as a death does

STYLE.md knows no fake store, and no other test has one: a cloned template database is fast enough for all of them. A
simulation needs hours of time on a clock that nothing waits for, two hundred times in a minute, and a database that can
be taken away between two statements; a real one has its own time. So this is the exception, and it is kept honest:

- The seam is `Tx`: all Python of `store/` runs, each statement is looked up by its text and done in `simdatabase`. One
  without a model is an error that names it.
- `tests/store/test_sim_model.py` does the same random script on this and on PostgreSQL and compares every answer.

What it does not model: transactions that overlap (each runs alone, at one instant), and with them locks. Those races
are tests/store/test_lanes_race.py's. What it does model: time before and after each transaction, a database that is
away, a commit whose answer is lost, and notifications that are lost.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from outrider.base.errors import StoreUnavailableError
from outrider.store.pool import Row, Store, Tx
from outrider.testing.simdatabase import SimDatabase


class SimTx(Tx):
    """A transaction on the model. It never waits, so it is alone from its first statement to its last."""

    def __init__(self, database: SimDatabase) -> None:
        super().__init__(None)
        self.database: Final = database

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Row]:
        """Run `sql` and return all its rows."""
        return self.database.run(sql, arguments)

    async def fetch_row(self, sql: str, *arguments: object) -> Row | None:
        """Run `sql` and return its first row."""
        return next(iter(self.database.run(sql, arguments)), None)

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run `sql` and return how many rows it touched."""
        return len(self.database.run(sql, arguments))

    __slots__ = ("database",)


class SimStore(Store):
    """One process's way to the database."""

    def __init__(self, database: SimDatabase) -> None:
        self.database: Final = database
        self.is_dead = False

    def kill(self) -> None:
        """Cut the process off: nothing it does from now on is stored."""
        self.is_dead = True

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction."""
        database = self.database
        await self._wait()
        if self._is_cut() or database.is_away:
            raise StoreUnavailableError("The database is not available.")
        before_count, database.is_notified = database.write_count, False
        try:
            yield SimTx(database)
        except BaseException:
            assert database.write_count == before_count, "the model cannot roll back what was written"
            raise
        if database.is_notified:
            self._tell()
        is_lost = database.chance.random() < database.lost_answer_ratio
        await self._wait()
        if is_lost or self._is_cut():
            raise StoreUnavailableError("The database went away during the commit.")

    @contextlib.asynccontextmanager
    async def listening(self, channel: str, on_notify: Callable[[str], None]) -> AsyncIterator[Callable[[], bool]]:
        """LISTEN while the block runs."""
        del channel
        database = self.database
        await self._wait()
        if self._is_cut() or database.is_away:
            raise StoreUnavailableError("The database is not available.")
        database.listeners.append(on_notify)
        try:
            yield lambda: not (self.is_dead or database.is_away)
        finally:
            database.listeners.remove(on_notify)

    def _is_cut(self) -> bool:
        return self.is_dead

    def _tell(self) -> None:
        database = self.database
        for listener in database.listeners:
            if database.chance.random() >= database.lost_notification_ratio:
                database.loop.call_later(database.delay_s, listener, "")

    async def _wait(self) -> None:
        """Let the time of half a transaction pass."""
        await self.database.loop.pass_s(self.database.delay_s * self.database.chance.uniform(0.5, 1.5))
