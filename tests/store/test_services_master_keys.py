"""Master keys in use: changed while others sign and read return paths, stopped anywhere, forgotten in the end."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from outrider.base.errors import ConfigError, ConflictError
from outrider.mail.dkim import ED25519_SHA256
from outrider.mail.verp import ForgedError, Purpose, ReturnPath
from outrider.services.dkim_keys import KeyRing
from outrider.services.identity import Identity
from outrider.services.master_keys import MasterKeys, Resealed, new_line
from outrider.services.return_paths import LIFE, signer_of
from outrider.services.settings import IdentitySettings
from outrider.store import dkim_keys, master_key, nodes
from outrider.store.master_key import KeySource
from outrider.store.nodes import Node
from outrider.store.pool import Store, Tx
from outrider.store.vault import MARK_BYTES, mark_of, vault_of
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest
PATH = ReturnPath(UUID(int=7), Purpose.BOUNCE, FakeClock().now().date() + timedelta(days=30))
DOMAINS = ("a.example", "b.example", "c.example")


class Process:
    """What one process of the node has of its own."""

    def __init__(self, store: Store, clock: FakeClock, source: KeySource) -> None:
        vault = vault_of(source)
        self.keys = KeyRing(
            store, vault, IdentitySettings(), clock=clock, random_bits=random.SystemRandom().getrandbits
        )
        self.identity = Identity(store, self.keys, clock=clock, random_bits=random.SystemRandom().getrandbits)
        self.master = MasterKeys(store, vault, source, keep_for=LIFE, clock=clock)
        self.signer = signer_of(vault_of(source))

    async def add(self, project_id: UUID, *names: str) -> None:
        for name in names:
            await self.identity.add_domain(project_id, name, is_verified=True, algorithms=[ED25519_SHA256])


@pytest.fixture
def source(tmp_path: Path) -> KeySource:
    return master_key.find("", tmp_path, {})


@pytest.fixture
def here(store: Store, clock: FakeClock, source: KeySource) -> Process:
    return Process(store, clock, source)


@pytest.fixture
def there(store: Store, clock: FakeClock, source: KeySource) -> Process:
    """Give another process that has read the key file before anything changes."""
    other = master_key.find("", source.path.parent, {}) if source.path else source
    return Process(store, clock, other)


@pytest.fixture
async def shop(here: Process, mailroom: Mailroom) -> UUID:
    project_id = await mailroom.project("shop")
    await here.add(project_id, *DOMAINS)
    return project_id


async def sealed_by(store: Store) -> dict[bytes, int]:
    async with store.transaction() as tx:
        return await dkim_keys.count_sealed(tx, MARK_BYTES)


async def signing(process: Process, project_id: UUID, names: Sequence[str] = DOMAINS) -> list[int]:
    return [len(await process.keys.of_domain(project_id, name)) for name in names]


async def test_all_is_sealed_anew_and_every_process_goes_on(
    store: Store, here: Process, there: Process, source: KeySource, shop: UUID
) -> None:
    before = here.signer.mint(PATH, "b.example")
    assert await here.master.rotate() == Resealed(is_new_key=True, count=3, closed_count=0)
    new, _ = source.read()
    assert await sealed_by(store) == {mark_of(new.octets): 3}
    fresh = Process(store, FakeClock(), source)
    after = fresh.signer.mint(PATH, "b.example")
    assert after != before
    for process in (here, there, fresh):
        assert await signing(process, shop) == [1, 1, 1]
        for token in (before, after):
            assert process.signer.read(token, today=FakeClock().now().date()) == PATH
        with pytest.raises(ForgedError):
            process.signer.read(before.replace("bounce-0", "bounce-1"), today=PATH.expires_on)
    assert here.signer.mint(PATH, "b.example") == after
    await there.add(shop, "d.example")
    assert await sealed_by(store) == {mark_of(new.octets): 4}
    assert await here.master.rotate() == Resealed(is_new_key=True, count=4, closed_count=0)


async def test_a_rotation_that_was_stopped_is_finished_first(
    store: Store, here: Process, there: Process, source: KeySource, clock: FakeClock, shop: UUID
) -> None:
    source.add(clock.now().date())  # And then it was killed.
    assert await signing(there, shop) == [1, 1, 1]
    assert await there.master.rotate() == Resealed(is_new_key=False, count=3, closed_count=0)
    assert len(source.read()) == 2
    assert await here.master.reseal() == Resealed(is_new_key=False, count=0, closed_count=0)


async def test_a_secret_that_no_key_opens_stops_nothing(store: Store, here: Process, shop: UUID) -> None:
    async with store.transaction() as tx:
        await tx.execute(
            "UPDATE dkim_key SET private_key_sealed = '\\x0102' WHERE domain_id ="
            " (SELECT domain_id FROM domain WHERE name = 'b.example')"
        )
    assert await here.master.rotate() == Resealed(is_new_key=True, count=2, closed_count=1)
    assert await signing(here, shop, ["a.example", "c.example"]) == [1, 1]
    assert (await here.master.show()).other_count == 1


async def test_many_are_sealed_in_batches(
    store: Store, here: Process, shop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outrider.services.master_keys._BATCH_COUNT", 2)
    assert (await here.master.rotate()).count == 3
    assert len(await sealed_by(store)) == 1


async def test_who_dies_between_two_batches_leaves_every_secret_open(
    store: Store, here: Process, there: Process, shop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outrider.services.master_keys._BATCH_COUNT", 1)
    count = 0

    async def die_at_the_third(tx: Tx, project_id: UUID, key_id: UUID, sealed: bytes) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise asyncio.CancelledError
        await original(tx, project_id, key_id, sealed)

    original = dkim_keys.reseal
    monkeypatch.setattr(dkim_keys, "reseal", die_at_the_third)
    with pytest.raises(asyncio.CancelledError):
        await here.master.rotate()
    monkeypatch.setattr(dkim_keys, "reseal", original)
    assert sorted((await sealed_by(store)).values()) == [1, 2]
    assert await signing(there, shop) == [1, 1, 1]
    assert await there.master.rotate() == Resealed(is_new_key=False, count=1, closed_count=0)
    assert len(await sealed_by(store)) == 1


async def test_a_key_is_forgotten_when_its_return_paths_have_expired(
    here: Process, there: Process, source: KeySource, clock: FakeClock, shop: UUID
) -> None:
    (first,) = source.read()
    await here.master.rotate()
    clock.advance(LIFE.total_seconds())
    assert await here.master.forget() == []
    clock.advance(86_400.0)
    (gone,) = await here.master.forget()
    assert (gone.name, gone.sealed_count, gone.made_on) == (mark_of(first.octets)[1:].hex(), 0, None)
    assert first not in source.read()
    assert await here.master.forget() == []
    assert await signing(there, shop) == [1, 1, 1]


async def test_a_key_that_something_needs_is_not_forgotten(
    store: Store, here: Process, source: KeySource, clock: FakeClock, shop: UUID
) -> None:
    source.add(clock.now().date())
    clock.advance(LIFE.total_seconds() + 86_400.0)
    assert await here.master.forget() == []
    sealing, old = (await here.master.show()).keys
    assert (sealing.is_sealing, sealing.sealed_count, sealing.forget_on) == (True, 0, None)
    assert (old.is_sealing, old.sealed_count, old.forget_on) == (False, 3, clock.now().date())


async def test_keys_of_the_first_version_are_sealed_anew(store: Store, here: Process, shop: UUID) -> None:
    async with store.transaction() as tx:
        await tx.execute("UPDATE dkim_key SET private_key_sealed = '\\x01'::bytea || substr(private_key_sealed, 6)")
    assert (await here.master.show()).other_count == 3
    assert await here.master.forget() == []
    assert await here.master.rotate() == Resealed(is_new_key=True, count=3, closed_count=0), "none was begun"
    assert (await here.master.show()).other_count == 0


async def test_several_nodes_have_to_be_told(
    store: Store, here: Process, source: KeySource, clock: FakeClock, mailroom: Mailroom, shop: UUID
) -> None:
    for number, name in enumerate(("one", "two")):
        node = Node(mailroom.new_id(), name, ("default",), (f"192.0.2.{number}",), clock.now(), clock.now())
        async with store.transaction() as tx:
            await nodes.claim(tx, node, alive_since=clock.now())
    with pytest.raises(ConflictError, match="one, two") as caught:
        await here.master.rotate()
    assert caught.value.field == "shared"
    assert len(source.read()) == 1
    assert (await here.master.rotate(is_shared=True)).is_new_key


async def test_keys_of_a_variable_are_changed_by_hand(
    store: Store, here: Process, source: KeySource, clock: FakeClock, shop: UUID, tmp_path: Path
) -> None:
    lines = [master_key.write_line(key) for key in source.read()]
    lines.insert(0, new_line(clock.now().date()))
    hand = Process(store, clock, master_key.find("env:KEYS", tmp_path, {"KEYS": ";".join(lines)}))
    assert await hand.master.reseal() == Resealed(is_new_key=False, count=3, closed_count=0)
    with pytest.raises(ConfigError, match="vault make"):
        await hand.master.rotate()
