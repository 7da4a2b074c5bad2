"""Access: keys that are none cost no memory, however many there are."""

import contextlib
import random
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from outrider.base.errors import UnauthenticatedError
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.access import Access, Credentials
from outrider.store.pool import Row, Store, Tx
from outrider.store.settings import StoreSettings
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.newest


class _NoRow(Tx):
    async def fetch_row(self, sql: str, *arguments: object) -> Row | None:
        return None


class _EmptyStore(Store):
    """One in which no key is: the database is not what is measured, and would take a minute."""

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        yield _NoRow(None)


async def test_junk_keys_do_not_grow_memory(clock: FakeClock) -> None:
    """A hundred thousand of them: what is remembered of keys is bounded, and a key that is none is counted nowhere."""
    access = Access(
        _EmptyStore("", StoreSettings()),
        Vault(bytes(32)),
        rate_per_minute=5,
        clock=clock,
        random_bits=random.SystemRandom().getrandbits,
        logger=make_logger(LogSettings(), "test"),
    )
    tracemalloc.start(1)
    sizes = []
    for number in range(100_000):
        junk = Credentials(access_key_id=f"{number:032x}", access_key_secret="junk")
        with contextlib.suppress(UnauthenticatedError):
            await access.authenticate(junk)
        if number % 10_000 == 9_998:  # Just before what is remembered starts anew.
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(sizes) < 5_000_000
    assert sizes[-1] < sizes[0] * 1.5
    assert not access._counts
    assert not access._used
