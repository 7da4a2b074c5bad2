"""A real PostgreSQL for every test of this folder, on the oldest and the newest version that we support."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from outrider.store import migrate
from outrider.testing.postgres import ThrowawayPostgres


@pytest.fixture(scope="session", params=[16, 18], ids=["postgres16", "postgres18"])
def postgres(request: pytest.FixtureRequest) -> Iterator[ThrowawayPostgres]:
    """The server, with a migrated template."""
    server = ThrowawayPostgres(request.param)
    asyncio.run(_start(server))
    yield server
    asyncio.run(server.stop())


@pytest.fixture
async def database_url(postgres: ThrowawayPostgres) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    dsn = await postgres.clone()
    yield dsn
    await postgres.drop(dsn)


async def _start(server: ThrowawayPostgres) -> None:
    await server.start()
    await server.make_template(migrate.upgrade)
