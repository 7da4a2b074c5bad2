"""Fault: the name of a customer's server leads to an honest address when it is looked at, and inside when it is called.

What must hold: the address that is connected to is the one that was looked at, at every connection; nothing is sent
inside, and the call is tried again. A name that leads inside from the beginning is never called.
"""

import pytest

from outrider.base.vocab import WebhookOutcome
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import HookRoom
from outrider.testing.http_peer import HttpPeer, answer

pytestmark = [pytest.mark.slow, pytest.mark.newest]
NO_WAY = "its name leads to no address that may be called"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


async def test_each_connection_looks_again(store: Store) -> None:
    # Loopback stands for the honest address here: it is the only one that tests may reach.
    names = {"flips.example": ["127.0.0.1", "169.254.169.254", "10.0.0.1", "127.0.0.1"]}
    with HttpPeer([answer(200, is_kept=False)]) as peer:
        async with HookRoom(store, names=names) as hooks:
            made = await hooks.add(f"http://flips.example:{peer.port}/")
            await hooks.happen()
            await hooks.until_logged(made, 1)
            await hooks.happen()
            for count in (2, 3, 4):
                logged = await hooks.until_logged(made, count)
                await hooks.hurry()
    said = [(one.outcome, one.error) for one in logged]
    assert said == [(WebhookOutcome.TAKEN, "")] + 2 * [(WebhookOutcome.RETRIED, NO_WAY)] + [(WebhookOutcome.TAKEN, "")]
    assert peer.connection_count == 2


async def test_a_name_that_leads_to_this_machine_is_never_called(store: Store) -> None:
    with HttpPeer([answer(200)]) as peer:
        names = {"inside.example": ["127.0.0.1"]}
        async with HookRoom(store, names=names, is_guarded=True) as hooks:
            made = await hooks.add(f"http://inside.example:{peer.port}/")
            await hooks.happen()
            (logged,) = await hooks.until_logged(made, 1)
    assert (logged.status, logged.error, peer.connection_count) == (0, NO_WAY, 0)
