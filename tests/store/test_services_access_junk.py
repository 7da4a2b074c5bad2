"""Access: keys that are none cost no memory, however many there are."""

import contextlib
import random
import tracemalloc

import pytest

from outrider.base.errors import UnauthenticatedError
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.access import Access, Credentials
from outrider.services.settings import AccessSettings
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.newest


@pytest.mark.slow
async def test_junk_keys_do_not_grow_memory(store: Store, clock: FakeClock) -> None:
    """A hundred thousand of them: what is remembered of keys is bounded, and a key that is none is counted nowhere."""
    logger = make_logger(LogSettings(), "test")
    bits = random.SystemRandom().getrandbits
    access = Access(store, Vault(bytes(32)), AccessSettings(rate_per_minute=5), clock=clock, random_bits=bits, logger=logger)
    tracemalloc.start()
    sizes = []
    for number in range(100_000):
        junk = Credentials(access_key_id=f"{number:032x}", access_key_secret="junk")
        with contextlib.suppress(UnauthenticatedError):
            await access.authenticate(junk)
        if number % 10_000 == 9_999:
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(sizes) < 5_000_000
    assert sizes[-1] < sizes[0] * 1.5
    assert not access._counts
    assert not access._used
