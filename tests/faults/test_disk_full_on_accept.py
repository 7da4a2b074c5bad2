"""Fault: the disk is full when mail is to be stored.

The caller is told that nothing was kept, whichever table had no room; nothing half-stored is left behind; nothing is
delivered; and when there is room again, the same processes go on.

The table's file is replaced by /dev/full, where the kernel answers every write with "no space left on device", so
PostgreSQL meets the real error on the real way, without anybody's rights.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.store.pool import Store
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import PROJECT, TABLES, EngineRoom, OneWay, counts, running, submission
from outrider.testing.peer import Peer
from outrider.testing.postgres import ThrowawayPostgres

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


class Disk:
    """The files of one database's tables."""

    def __init__(self, postgres: ThrowawayPostgres, dsn: str) -> None:
        self._postgres = postgres
        self._admin = postgres.dsn_of(urlsplit(dsn).path[1:], user="postgres")

    async def fill(self, table: str) -> Path:
        """Take the room away from a table that was never written to."""
        path = await self._path(table)
        assert path.stat().st_size == 0
        path.rename(path.with_suffix(".kept"))
        path.symlink_to("/dev/full")
        return path

    async def clear(self, path: Path) -> None:
        """Give it back, and let every backend forget the file that it has open, as `DROP DATABASE` does."""
        path.unlink()
        path.with_suffix(".kept").rename(path)
        await self._postgres.drop(await self._postgres.clone())

    async def _path(self, table: str) -> Path:
        connection: Any = await asyncpg.connect(self._admin)
        try:
            folder = await connection.fetchval("SHOW data_directory")
            return Path(folder) / await connection.fetchval("SELECT pg_relation_filepath($1::regclass)", table)
        finally:
            await connection.close()


@pytest.fixture
async def room(store: Store, clock: RealClock) -> AsyncIterator[EngineRoom]:
    made = EngineRoom(store, clock)
    async with running(made.accept):
        yield made


@pytest.mark.parametrize("table", TABLES)
async def test_the_caller_is_told_and_nothing_is_kept(
    room: EngineRoom, postgres: ThrowawayPostgres, database_url: str, table: str
) -> None:
    disk = Disk(postgres, database_url)
    partition = f"event_{room.clock.now():%Y%m%d}"
    path = await disk.fill(partition if table == "event" else table)
    async with Peer() as peer, running(room.deliverer(OneWay(peer.site()))):
        answers = await asyncio.gather(
            *(room.accept(PROJECT, submission(f"u{n}@a.example"), idempotency_key=f"key {n}") for n in range(5)),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers} == {StoreUnavailableError}, answers
        assert isinstance(answers[0], StoreUnavailableError)
        assert "No space left on device" in str(answers[0].detail["cause"])
        assert os.sep not in answers[0].public, "which file is the operator's business"
        await disk.clear(path)
        assert set((await counts(room.store)).values()) == {0}
        for n in range(5):
            answer = await room.accept(PROJECT, submission(f"u{n}@a.example"), idempotency_key=f"key {n}")
            assert answer.session_id is not None
            await room.until_settled(answer.session_id)
        assert sorted(one.recipients[0] for one in peer.received) == [f"u{n}@a.example" for n in range(5)]
    assert await counts(room.store) == {
        "content": 1, "message": 5, "recipient": 5, "queue": 0, "event": 10, "idempotency": 5
    }  # fmt: skip
