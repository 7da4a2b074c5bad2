"""The keeper of keys: what is due is done, and said."""

import random
from uuid import UUID

import pytest

from outrider.base.vocab import KeyState
from outrider.services import dkim_keys as module
from outrider.services.dkim_keys import KeyRing, Tended
from outrider.services.identity import Identity
from outrider.services.key_keeper import KeyKeeper
from outrider.services.settings import IdentitySettings
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal
from outrider.testing.mailroom import Mailroom

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("quick_keys")]

MASTER_KEY = bytes(range(32))
WEEK_S = 7 * 86_400.0
SHOP = "shop.example"


@pytest.fixture
def ring(store: Store, clock: FakeClock) -> KeyRing:
    bits = random.SystemRandom().getrandbits
    return KeyRing(store, Vault(MASTER_KEY), IdentitySettings(), clock=clock, random_bits=bits)


@pytest.fixture
def identity(store: Store, ring: KeyRing, clock: FakeClock) -> Identity:
    return Identity(store, ring, clock=clock, random_bits=random.SystemRandom().getrandbits)


@pytest.fixture
async def shop(identity: Identity, mailroom: Mailroom) -> UUID:
    """Give a project with a verified domain, `SHOP`."""
    project_id = await mailroom.project("shop")
    await identity.add_domain(project_id, SHOP, is_verified=True)
    return project_id


async def states(ring: KeyRing, project_id: UUID, name: str) -> set[KeyState | None]:
    return {entry.state for entry in await ring.entries(project_id, name)}


async def test_the_keeper_tends_them_and_says_so(store: Store, ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    await ring.rotate(shop, SHOP, is_published=True)
    clock.advance(WEEK_S)
    journal = Journal()
    keeper = KeyKeeper(ring, clock=clock, logger=journal.logger)
    keeper.stop()
    await keeper.run()
    assert KeyState.RETIRED not in await states(ring, shop, SHOP)
    one_round = OneRound(store, Vault(MASTER_KEY), IdentitySettings(), clock=clock, random_bits=lambda _: 0)
    one_round.keeper = KeyKeeper(one_round, clock=clock, logger=journal.logger)
    await one_round.keeper.run()
    assert KeyState.RETIRED in await states(ring, shop, SHOP)
    assert journal.count("dkim_keys_tended") == 1


class OneRound(KeyRing):
    """A ring that stops its keeper once it is tended."""

    keeper: KeyKeeper

    async def tend(self) -> Tended:
        """Stop the keeper."""
        self.keeper.stop()
        return await super().tend()


async def test_many_domains_are_tended_in_one_go(
    store: Store, clock: FakeClock, ring: KeyRing, identity: Identity, shop: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROUND_COUNT", 2)
    names = [f"d{number}.example" for number in range(5)]
    for name in names:
        await identity.add_domain(shop, name, is_verified=True, algorithms=["ed25519-sha256"])
        await ring.rotate(shop, name, is_published=True)
    clock.advance(WEEK_S)
    journal = Journal()
    last = LastRound(store, Vault(MASTER_KEY), IdentitySettings(), clock=clock, random_bits=lambda _: 0)
    last.keeper = KeyKeeper(last, clock=clock, logger=journal.logger)
    await last.keeper.run()
    assert {KeyState.RETIRED in await states(ring, shop, name) for name in names} == {True}


class LastRound(KeyRing):
    """A ring that stops its keeper once nothing is left to do."""

    keeper: KeyKeeper

    async def tend(self) -> Tended:
        """Stop the keeper if this was the last."""
        found = await super().tend()
        if not found.has_more:
            self.keeper.stop()
        return found
