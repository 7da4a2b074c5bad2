"""The database of the faults that need one: on the newest version that we support, in real time."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from outrider.engine.upkeep import ensure_partitions
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import RealClock
from outrider.testing.postgres import ThrowawayPostgres, cloned, migrated, ready_cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[ThrowawayPostgres]:
    """The server, with a migrated template."""
    with migrated() as server:
        yield server


@pytest.fixture(scope="session")
def cluster_made() -> Iterator[Path]:
    """A cluster of an embedded server, to be copied."""
    with ready_cluster() as path:
        yield path


@pytest.fixture
async def database_url(postgres: ThrowawayPostgres) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    async with cloned(postgres) as dsn:
        yield dsn


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
