"""The database of the faults that need one: on the newest version that we support, in real time."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from outrider.engine.upkeep import ensure_partitions
from outrider.store import migrate
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.engineroom import RealClock
from outrider.testing.postgres import ThrowawayPostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[ThrowawayPostgres]:
    """The server, with a migrated template."""
    server = ThrowawayPostgres()
    asyncio.run(_start(server))
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def database_url(postgres: ThrowawayPostgres) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    dsn = await postgres.clone()
    yield dsn
    await postgres.drop(dsn)


@pytest.fixture
def clock() -> RealClock:
    """Real time, which a test may shift."""
    return RealClock()


@pytest.fixture
async def store(database_url: str, clock: RealClock) -> AsyncIterator[Store]:
    """An open store on a fresh database, with the partitions of the clock's days."""
    async with Store(database_url, StoreSettings()) as opened:
        await ensure_partitions(opened, clock)
        yield opened


async def _start(server: ThrowawayPostgres) -> None:
    await server.start()
    await server.make_template(migrate.upgrade)
