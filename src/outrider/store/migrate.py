"""Bring a database to the version this program needs, once, whoever starts first.

An advisory lock makes concurrent starters wait for each other. A database that is up to date costs one query: alembic
and SQLAlchemy (60 MB of memory) are imported only when there is something to do. A database newer than the program
stops the start, since old code must not write new tables.
"""

import importlib.resources
from typing import Any, Final

import asyncpg

from outrider.base.errors import ConfigError, StoreUnavailableError

HEAD: Final = "0020"  # The newest file in schema/versions; tests/store/test_migrate.py compares.
_LOCK_KEY: Final = 0x0D1D_E5  # Ours alone: an advisory lock is named by a number.
_VERSION: Final = """
    SELECT version_num FROM alembic_version"""


async def upgrade(dsn: str) -> None:
    """Create or migrate the tables at `dsn`. Safe twice and from many processes at once.

    Raises:
        StoreUnavailableError: nobody answers there.
        ConfigError: the database was migrated by a newer Outrider.
    """
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreUnavailableError("The database is not available.", cause=str(error)) from error
    try:
        if await _version(connection) == HEAD:
            return
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        version = await _version(connection)
        if version == HEAD:
            return
        if version is not None and version > HEAD:
            raise ConfigError(
                f"The database has version {version}, this Outrider knows {HEAD}: upgrade Outrider on this machine."
            )
        await _run_alembic(dsn)
    finally:
        await connection.close()


async def _version(connection: Any) -> str | None:
    try:
        version: str | None = await connection.fetchval(_VERSION)
    except asyncpg.UndefinedTableError:
        return None
    return version


async def _run_alembic(dsn: str, revision: str = "head") -> None:
    """Bring the tables to `revision`; tests begin from an old one."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    settings = Config()
    settings.set_main_option("script_location", str(importlib.resources.files("outrider.store") / "schema"))

    def _upgrade(connection: Connection) -> None:
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)

    # The address goes to asyncpg as it is, so that several hosts and socket directories work alike.
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade)
        await connection.commit()
    await engine.dispose()
