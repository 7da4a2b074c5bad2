"""Fault: the database is stopped, or killed, while mail is accepted and delivered, and comes back.

A call that could not be stored is told so (`StoreUnavailableError`), at once. Every call that was accepted is
delivered, and nothing is parked for it: the message did nothing wrong. What the processes knew when the database went
they write when it is back; their lanes do not lie idle until their leases end.
"""

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.engine.upkeep import ensure_partitions
from outrider.store import migrate
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.pool import Store
from outrider.store.settings import EmbeddedSettings, StoreSettings
from outrider.testing.clock import RealClock, until
from outrider.testing.engineroom import PROJECT, EngineRoom, OneWay, running, submission
from outrider.testing.peer import Peer
from outrider.testing.postgres import make_folder

pytestmark = pytest.mark.slow

CALLS = 25  # Accepted before the fault, and again after it, by each client.
CLIENTS = 4


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def server(folder: Path, clock: RealClock, cluster_made: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server as users have it; only what the system has written it need not write through to the disk."""
    shutil.copytree(cluster_made, folder / "postgres")
    started = EmbeddedPostgres(folder, EmbeddedSettings(), clock=clock, overrides={"fsync": "off"}, dies_with_us=True)
    dsn = await started.start()
    await migrate.upgrade(dsn)
    yield started
    await started.stop()


class Client:
    """Sends one mail after the other and remembers what it was told."""

    def __init__(self, room: EngineRoom, number: int) -> None:
        self._room = room
        self._number = number
        self.accepted: dict[UUID, str] = {}
        self.refusals: list[Exception] = []

    async def send(self, count: int) -> None:
        """Try until `count` more were accepted."""
        wanted = len(self.accepted) + count
        while len(self.accepted) < wanted:
            to = f"c{self._number}n{len(self.accepted)}@d{len(self.accepted) % 3}.example"
            try:
                answer = await self._room.accept(PROJECT, submission(to))
            except Exception as error:  # Judged at the end of the test.
                self.refusals.append(error)
                await self._room.clock.sleep(0.02)
                continue
            assert answer.session_id is not None
            self.accepted[answer.session_id] = to


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
async def test_what_was_accepted_is_delivered(server: EmbeddedPostgres, clock: RealClock, number: int) -> None:
    async with (
        Store(server.dsn, StoreSettings()) as store,
        Store(server.dsn, StoreSettings()) as delivery_store,
        Peer() as peer,
    ):
        await ensure_partitions(store, clock)
        room = EngineRoom(store, clock, lease_s=10.0)  # Under what a test waits: one lease may have been lost.
        clients = [Client(room, at) for at in range(CLIENTS)]
        async with running(room.accept, room.deliverer(OneWay(peer.site()), store=delivery_store)):
            await asyncio.gather(*(client.send(CALLS) for client in clients))
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(client.send(CALLS))
                await until(lambda: any(len(client.accepted) > CALLS + 3 for client in clients))
                assert server.pid is not None
                os.kill(server.pid, number)
                await until(lambda: not server.is_running())
                await until(lambda: all(client.refusals for client in clients))
                await server.ensure()
            accepted = {session: to for client in clients for session, to in client.accepted.items()}
            for session in accepted:
                found = await room.until_settled(session)
                assert {one.status.value for one in found.values()} == {"delivered"}, found
        received = Counter(one.recipients[0] for one in peer.received)
        refusals = [error for client in clients for error in client.refusals]
    assert len(accepted) == 2 * CALLS * CLIENTS
    assert set(accepted.values()) <= received.keys()
    assert {type(error) for error in refusals} == {StoreUnavailableError}, refusals
    assert room.sample("outrider_internal_errors_total", place="deliver") == 0


async def test_a_database_that_goes_for_good_does_not_hold_up_a_stop(
    server: EmbeddedPostgres, clock: RealClock
) -> None:
    async with Store(server.dsn, StoreSettings()) as store, Peer() as peer:
        await ensure_partitions(store, clock)
        room = EngineRoom(store, clock, stop_wait_s=0.5)
        async with running(room.accept, room.deliverer(OneWay(peer.site()))):
            client = Client(room, 0)
            await client.send(5)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: not server.is_running())
            with pytest.raises(StoreUnavailableError):
                await room.send("ann@a.example")
            started_s = clock.monotonic_s()
        assert clock.monotonic_s() - started_s < 4
