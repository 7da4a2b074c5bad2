"""Connections and transactions. `async with store.transaction() as tx` is the only way to the database.

It commits when the block ends well and rolls back when it raises. Inside, await only `store` functions and methods
of `tx`: never the network, never a timer (tests/tidy/test_tx_awaits.py), since a transaction left open holds back
every reader of the event log.

Failure policy: what the driver raises leaves here as a `StoreError` or, for a broken unique constraint, as
`ConflictError`; never as an asyncpg exception. `StoreValueError` means that this statement's values are at fault
and others would have succeeded: group commit splits its batch on it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from outrider.base.errors import ConflictError, OutriderError, StoreCorruptError, StoreError, StoreUnavailableError
from outrider.store.settings import StoreSettings

Row = Mapping[str, Any]  # An asyncpg.Record: by name, values in the order of the columns.
_AWAY: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,  # It does not let us in; perhaps not yet.
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientResourcesError,  # Disk full, out of memory, too many connections.
    asyncpg.OperatorInterventionError,  # Shutting down, starting, statement time-out.
    asyncpg.ReadOnlySQLTransactionError,  # A standby after a fail-over.
    asyncpg.InternalClientError,
    TimeoutError,
)
_PING: Final = """
    SELECT 1"""


class StoreValueError(StoreError):
    """The database refused these very values; the same statement with others may succeed."""

    code = "store_value"
    status = 500


class StoreRolledBackError(StoreUnavailableError):
    """The database ended this transaction to resolve a deadlock; nothing of it was kept.

    The same may go well at once: group commit tries again.
    """

    code = "store_rolled_back"


class Tx:
    """One open transaction. Statements are prepared once per connection and reused."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection: Final = connection

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Row]:
        """Run `sql` and return all its rows."""
        rows: Sequence[Row] = await self._connection.fetch(sql, *arguments)
        return rows

    async def fetch_row(self, sql: str, *arguments: object) -> Row | None:
        """Run `sql` and return its first row, None if there is none."""
        row: Row | None = await self._connection.fetchrow(sql, *arguments)
        return row

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run `sql` and return how many rows it touched; 0 for statements that touch none."""
        tag: str = await self._connection.execute(sql, *arguments)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0


class Store:
    """A pool of connections. Open with `async with`, or `open` and `close`; both are safe twice."""

    def __init__(self, dsn: str, settings: StoreSettings) -> None:
        self._dsn: Final = dsn
        self._settings: Final = settings
        self._pool: Any = None
        self._block_count = 0  # Transactions open or waiting for a connection.
        self._is_idle: Final = asyncio.Event()

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreUnavailableError: nobody answers at the address, or refuses us.
        """
        if self._pool is not None:
            return
        with _translated():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._settings.pool_size,
                max_inactive_connection_lifetime=0,
                command_timeout=self._settings.statement_timeout_s,
                reset=_leave_as_is,
                server_settings={"application_name": "outrider", "timezone": "UTC"},
            )

    async def close(self) -> None:
        """Close every connection, after the transactions under way and those that wait for a connection."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            # Danger: the driver alone would close connections under those that waited, some just after their commit.
            while self._block_count:
                self._is_idle.clear()
                await self._is_idle.wait()
            await pool.close()
        except (asyncio.CancelledError, *_AWAY) as error:
            pool.terminate()  # The server went first, or we have no time; there is nothing left to close politely.
            if isinstance(error, asyncio.CancelledError):
                raise

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction (READ COMMITTED); commit at the end of the block, roll back if it raises.

        Raises:
            StoreUnavailableError: the database is away, full or read-only. Nothing of the block was kept, unless
                the connection died during the commit itself: then nobody knows, and a retry needs its own safety.
            StoreValueError: it refused these values.
            ConflictError: a unique constraint; `detail["constraint"]` names it.
        """
        if self._pool is None:
            raise StoreUnavailableError("The database is not open.")
        self._block_count += 1
        try:
            with _translated():
                async with self._pool.acquire() as connection, connection.transaction():
                    yield Tx(connection)
        finally:
            self._block_count -= 1
            if not self._block_count:
                self._is_idle.set()

    async def is_ready(self) -> bool:
        """Whether the database answers now."""
        try:
            async with self.transaction() as tx:
                await tx.fetch(_PING)
        except StoreError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def listening(self, channel: str, on_notify: Callable[[str], None]) -> AsyncIterator[Callable[[], bool]]:
        """LISTEN on `channel` over a connection of its own while the block runs.

        `on_notify` gets each payload. A notification is a hint: some are lost when the connection is. The value
        of the block says whether the connection still lives.
        """
        with _translated():
            connection = await asyncpg.connect(self._dsn, server_settings={"application_name": "outrider-listen"})
        try:
            with _translated():
                await connection.add_listener(channel, lambda *arguments: on_notify(arguments[3]))
            yield lambda: not connection.is_closed()  # What the block raises is none of ours.
        finally:
            with contextlib.suppress(*_AWAY):  # It may be gone already; then it is closed.
                await connection.close(timeout=2.0)


async def _leave_as_is(_: object) -> None:
    """Replace asyncpg's clean-up of a returned connection.

    A transaction leaves nothing behind, and that statement was a quarter of our round trips (2026-11-24).
    """


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's exceptions into ours. Our own pass through."""
    try:
        yield
    except OutriderError:
        raise
    except asyncpg.UniqueViolationError as error:
        raise ConflictError("It exists already.", constraint=error.constraint_name) from error
    except asyncpg.TransactionRollbackError as error:
        raise StoreRolledBackError("The database is not available.", cause=str(error)) from error
    except asyncpg.CheckViolationError as error:
        if "no partition of relation" not in str(error):
            raise StoreValueError("The database refused a value.", cause=str(error)) from error
        # No value's fault: the upkeep has not run for days, or a clock is far off.
        raise StoreUnavailableError("The database is not ready for this day.", cause=str(error)) from error
    except _AWAY as error:
        raise StoreUnavailableError("The database is not available.", cause=str(error)) from error
    except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
        raise StoreCorruptError("A stored value cannot be read.", cause=str(error)) from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise StoreValueError("The database refused a value.", cause=str(error)) from error
    except asyncpg.PostgresError as error:
        raise StoreError("The database failed.", cause=str(error), sqlstate=error.sqlstate) from error


def like_literal(text: str) -> str:
    """Return what stands for the text itself in a pattern of LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
