"""Fault: a customer's server answers with a redirect to a cloud's metadata service, or to this machine.

What must hold: it is never followed, whatever its code; the call counts as failed and is tried again at its own URL.
"""

import pytest

from outrider.base.vocab import WebhookOutcome
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import HookRoom
from outrider.testing.http_peer import HttpPeer, answer

pytestmark = [pytest.mark.slow, pytest.mark.newest]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(store: Store, code: int) -> None:
    with HttpPeer([answer(200)]) as inner:
        targets = ["http://169.254.169.254/latest/meta-data/", f"{inner.url}/admin"]
        acts = [answer(code, headers={"Location": target}) for target in targets]
        with HttpPeer([*acts, answer(200)]) as peer:
            async with HookRoom(store) as hooks:
                made = await hooks.add(peer.url)
                await hooks.happen()
                for count in (1, 2, 3):
                    logged = await hooks.until_logged(made, count)
                    await hooks.hurry()
        assert inner.connection_count == 0
    assert [one.status for one in logged] == [code, code, 200]
    assert [one.outcome for one in logged] == [WebhookOutcome.RETRIED, WebhookOutcome.RETRIED, WebhookOutcome.TAKEN]
    assert len({one.name for one in logged}) == 1
