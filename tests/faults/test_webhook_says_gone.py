"""Fault: a customer's server answers 410 Gone while thousands of calls wait for it.

What must hold: it is disabled at once, called no more, and its project is told so; resumed by hand it gets what waits.
"""

import pytest

from outrider.base.vocab import EventKind, WebhookState
from outrider.store import notices
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import PROJECT, HookRoom
from outrider.testing.http_peer import HttpPeer, answer

pytestmark = [pytest.mark.slow, pytest.mark.newest]
COUNT = 300


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


async def test_410_ends_the_calls_until_somebody_resumes(store: Store) -> None:
    with HttpPeer([answer(410)] * 20 + [answer(200)]) as peer:
        async with HookRoom(store) as hooks:
            made = await hooks.add(peer.url)
            await hooks.happen(COUNT)
            clock = RealClock()
            while (shown := await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)).webhook.state != "disabled":
                await clock.sleep(0.02)
            assert (shown.webhook.state, shown.webhook.state_reason) == (WebhookState.DISABLED, "It answered 410 Gone.")
            assert len(peer.heard) < 20
            assert await hooks.waiting_count(made) == COUNT
            async with store.transaction() as tx:
                (notice,) = await notices.of_project(tx, PROJECT, with_seen=False, count_max=5)
            assert notice.kind is EventKind.WEBHOOK_DISABLED
            peer.answer_with(answer(200))
            await hooks.webhooks.resume(PROJECT, made.webhook.webhook_id)
            while await hooks.waiting_count(made):
                await clock.sleep(0.05)
    assert len({one.headers["webhook-id"] for one in peer.heard if b"mail.delivered" in one.body}) == COUNT
