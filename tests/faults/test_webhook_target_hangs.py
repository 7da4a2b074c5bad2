"""Fault: a customer's server takes connections and says nothing, or drips one octet after the other for ever.

What must hold: its calls end at their deadline and are tried again; it holds few of the places that all webhooks share;
a fast one beside it gets its calls as if it were alone.
"""

from collections.abc import AsyncIterator

import pytest

from outrider.base.vocab import WebhookOutcome
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import HookRoom
from outrider.testing.http_peer import Act, HttpPeer, answer, drip, hang

pytestmark = [pytest.mark.slow, pytest.mark.newest]
WAIT_S = 1.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


@pytest.fixture
async def hooks(store: Store) -> AsyncIterator[HookRoom]:
    async with HookRoom(store, wait_s=WAIT_S, in_flight_max=8) as room:
        yield room


@pytest.mark.parametrize(
    "act",
    [hang(), hang(b"HTTP/1.1 200 OK\r\n"), drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000)],
    ids=["mute", "half", "drip"],
)
async def test_a_server_that_does_not_answer_delays_nobody_else(hooks: HookRoom, act: Act) -> None:
    with HttpPeer([act]) as slow, HttpPeer([answer(200)]) as fast:
        stuck = await hooks.add(slow.url)
        quick = await hooks.add(fast.url)
        began_s = hooks.clock.monotonic_s()
        await hooks.happen(200)
        taken = await hooks.until_logged(quick, 200)
        took_s = hooks.clock.monotonic_s() - began_s
        logged = await hooks.until_logged(stuck, 4)
        assert {one.outcome for one in taken} == {WebhookOutcome.TAKEN}
        assert took_s < 10, "two hundred calls, one after the other behind the slow one, would take 200 s"
        assert {(one.outcome, one.error) for one in logged} == {(WebhookOutcome.RETRIED, "no answer within 1 s")}
        assert await hooks.waiting_count(stuck) == 200, "none is lost"
