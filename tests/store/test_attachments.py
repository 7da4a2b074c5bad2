"""Files are stored once per project and content, and read by their own project alone."""

from hashlib import sha256
from uuid import uuid4

from outrider.store import attachments
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock

OCTETS = bytes(range(256)) * 40
HASH = sha256(OCTETS).digest()


async def test_the_same_octets_are_stored_once_per_project(store: Store, clock: FakeClock) -> None:
    ann, bob = uuid4(), uuid4()
    async with store.transaction() as tx:
        await attachments.insert(tx, [(ann, HASH, OCTETS), (bob, HASH, OCTETS)], now=clock.now())
        await attachments.insert(tx, [(ann, HASH, OCTETS)], now=clock.now())
        rows = await tx.fetch("SELECT project_id FROM attachment")
        assert {row["project_id"] for row in rows} == {ann, bob}
        assert len(rows) == 2
        assert await attachments.load(tx, ann, [HASH]) == {HASH: OCTETS}


async def test_another_projects_file_is_not_there(store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        await attachments.insert(tx, [(uuid4(), HASH, OCTETS)], now=clock.now())
        assert await attachments.load(tx, uuid4(), [HASH]) == {}
        assert await attachments.load(tx, uuid4(), []) == {}
