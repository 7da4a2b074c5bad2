"""Access without a secret: networks that an operator has bound to a key."""

import random

import pytest

from outrider.base.errors import ForbiddenError, UnauthenticatedError
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.access import Access
from outrider.services.accounts import Accounts, KeyTerms
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.newest

VAULT = Vault(b"k" * 32)


async def test_a_network_that_is_bound_to_a_key_is_bound_by_its_terms(store: Store, clock: FakeClock) -> None:
    bits = random.SystemRandom().getrandbits
    accounts = Accounts(store, VAULT, clock=clock, random_bits=bits)
    project_id = (await accounts.ensure_project()).project_id
    logger = make_logger(LogSettings(level="critical"), "test")
    access = Access(store, VAULT, rate_per_minute=0, clock=clock, random_bits=bits, logger=logger)
    pair = await accounts.create_key(project_id, "printers", KeyTerms(ip_ranges=("192.0.2.0/24",)))
    assert (await access.trust(pair.access_key_id, "192.0.2.7")).project_id == project_id
    with pytest.raises(ForbiddenError):
        await access.trust(pair.access_key_id, "198.51.100.7")
    with pytest.raises(UnauthenticatedError):
        await access.trust("0" * 32, "192.0.2.7")
    await accounts.revoke_key(project_id, pair.access_key_id)
    clock.advance(1.0)
    with pytest.raises(UnauthenticatedError):
        await access.trust(pair.access_key_id, "192.0.2.7")
