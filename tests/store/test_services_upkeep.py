"""Calls that nobody took in three days are given up, old logs forgotten."""

from datetime import timedelta

import pytest

from outrider.base.vocab import WebhookOutcome
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import PROJECT, HookRoom

pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


async def test_what_waits_for_a_paused_webhook_is_given_up_after_three_days(store: Store) -> None:
    async with HookRoom(store) as hooks:
        made = await hooks.add("http://127.0.0.1:1025/")
        await hooks.webhooks.pause(PROJECT, made.webhook.webhook_id)
        await hooks.webhooks.replay(PROJECT, made.webhook.webhook_id, since=hooks.clock.now())
        await hooks.happen(2)
        await hooks.webhooks.replay(PROJECT, made.webhook.webhook_id, since=hooks.clock.now() - timedelta(hours=1))
        keeper = hooks.keeper()
        await keeper.give_up()
        assert await hooks.waiting_count(made) >= 2
        async with store.transaction() as tx:
            await tx.execute("UPDATE webhook_call SET created_at = created_at - interval '73 hours'")
        await keeper.give_up()
        logged = await hooks.log(made)
        assert await hooks.waiting_count(made) == 0
        assert {(one.outcome, one.status) for one in logged} == {(WebhookOutcome.GIVEN_UP, 0)}
        await keeper.forget()
        assert len(await hooks.log(made)) == len(logged)
        async with store.transaction() as tx:
            await tx.execute("UPDATE webhook_delivery SET at = at - interval '2 days' WHERE project_id IS NOT NULL")
        await keeper.forget()
        assert await hooks.log(made) == []
