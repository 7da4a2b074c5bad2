"""A real PostgreSQL for every test of this folder, on the oldest and the newest version that we support.

Modules marked `newest` run on the newest alone: what they test holds no SQL of its own.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from outrider.base.clock import Clock
from outrider.engine.upkeep import ensure_partitions
from outrider.mail import dkim
from outrider.services import dkim_keys
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import EngineRoom, running, signing_keys
from outrider.testing.mailroom import Mailroom
from outrider.testing.peer import Peer
from outrider.testing.postgres import ThrowawayPostgres, cloned, migrated, ready_cluster
from outrider.testing.queueroom import QueueRoom
from tests.unit.mail.keys import pem_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let each test that needs the server have one of each version."""
    if "postgres" in metafunc.fixturenames:
        versions = [18] if metafunc.definition.get_closest_marker("newest") else [16, 18]
        ids = [f"postgres{version}" for version in versions]
        metafunc.parametrize("postgres", versions, indirect=True, ids=ids, scope="session")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[ThrowawayPostgres]:
    """The server, with a migrated template."""
    with migrated(request.param) as server:
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
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """New RSA keys for domains are all the same one: making one takes 0.1 s."""
    pem = pem_of(signing_keys("s1")[0].private_key)
    monkeypatch.setattr(dkim_keys, "_MAKERS", {**dkim_keys._MAKERS, dkim.RSA_SHA256: lambda: pem})


@pytest.fixture
def clock() -> FakeClock:
    """The clock by which the `store` has its partitions. Override it where real time passes."""
    return FakeClock()


@pytest.fixture
async def store(database_url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """An open store on a fresh database, with the partitions of the clock's days."""
    async with Store(database_url, StoreSettings(pool_size=10)) as opened:
        await ensure_partitions(opened, clock)
        yield opened


@pytest.fixture
def mailroom(store: Store, clock: FakeClock) -> Mailroom:
    """Rows for the store."""
    return Mailroom(store, clock)


@pytest.fixture
async def queueroom(store: Store, clock: FakeClock) -> QueueRoom:
    """Rows of a queue in any state, for the store."""
    return await QueueRoom(store, clock).open()


@pytest.fixture
def room_settings() -> dict[str, Any]:
    """The changes to [engine] with which `room` is made. Override it where it matters."""
    return {}


@pytest.fixture
async def room(store: Store, clock: Clock, room_settings: dict[str, Any]) -> AsyncIterator[EngineRoom]:
    """The engine's stations on the store; mail can be accepted."""
    made = EngineRoom(store, clock, **room_settings)
    async with running(made.accept):
        yield made


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that takes all mail until a test gives it another script."""
    async with Peer() as made:
        yield made
