"""The database that everything else stands on: the configured one, or the embedded server; opened, migrated, closed.

Commands and the supervisor open it, roles are given its address.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from outrider.app import SystemClock
from outrider.base.errors import ConfigError
from outrider.config import Config
from outrider.engine.upkeep import ensure_partitions
from outrider.store.pool import Store

if TYPE_CHECKING:
    from outrider.store.embedded import EmbeddedPostgres


class Database(msgspec.Struct, frozen=True):
    """An open, migrated database. `server` None: it is not ours to look after."""

    dsn: str
    server: "EmbeddedPostgres | None" = None


@contextlib.asynccontextmanager
async def open_database(
    config: Config, on_progress: Callable[[str], None], *, is_upgrading: bool = True
) -> AsyncIterator[Database]:
    """Yield a migrated database: the configured one, or the embedded server, started if need be.

    `on_progress` hears a sentence when that takes long, such as a recovery after a crash. With `is_upgrading` False the
    tables are left as they are, and a configured database is not asked whether it is there.

    Raises:
        ConfigError, StoreUnavailableError: with a sentence that says what to do.
    """
    # Children get the address and do not need it.
    from outrider.store.embedded import EmbeddedPostgres

    make_data_dir(config.data_path)
    if config.database_url:
        if is_upgrading:
            await _upgrade(config, config.database_url)
        yield Database(config.database_url)
        return
    server = EmbeddedPostgres(config.data_path, config.embedded, clock=SystemClock(), on_progress=on_progress)
    dsn = await server.start()
    try:
        if is_upgrading:
            await _upgrade(config, dsn)
        yield Database(dsn, server)
    finally:
        await server.stop()


async def _upgrade(config: Config, dsn: str) -> None:
    """Bring the tables and partitions up to date."""
    from outrider.store import migrate

    await migrate.upgrade(dsn)
    async with Store(dsn, config.store) as store:
        await ensure_partitions(store, SystemClock())


def make_data_dir(path: Path) -> None:
    """Make the data directory, for its owner alone. Safe twice. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "run").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The data directory {path} cannot be made: {error.strerror}. Set OUTRIDER_DATA_DIR."
        ) from error
