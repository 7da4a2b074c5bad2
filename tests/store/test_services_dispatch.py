"""From events to calls: each makes one, in the transaction that moves the cursor, whoever dies."""

import asyncio

import pytest

from outrider.base.vocab import WebhookOrdering
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import PROJECT, HookRoom

pytestmark = pytest.mark.slow
NOWHERE = "http://127.0.0.1:1025/"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


async def test_several_dispatchers_make_each_call_once(store: Store) -> None:
    async with HookRoom(store) as hooks:
        made = await hooks.add(NOWHERE)
        await hooks.webhooks.pause(PROJECT, made.webhook.webhook_id)
        dispatchers = [hooks.dispatcher() for _ in range(4)]
        for _ in range(5):
            await hooks.happen(100)
            await asyncio.gather(*(one.step() for one in dispatchers))
        for one in dispatchers:
            while await one.step():
                continue
        assert await hooks.waiting_count(made) == 500
        async with store.transaction() as tx:
            rows = await tx.fetch("SELECT event, project_id FROM webhook_call")
        assert len({row["event"] for row in rows}) == 500


async def test_what_happened_before_it_came_into_being_is_not_told(store: Store) -> None:
    async with HookRoom(store) as hooks:
        await hooks.happen(5)
        made = await hooks.add(NOWHERE)
        await hooks.webhooks.pause(PROJECT, made.webhook.webhook_id)
        await hooks.happen(2)
        dispatcher = hooks.dispatcher()
        clock = RealClock()
        end_s = clock.monotonic_s() + 10
        while await hooks.waiting_count(made) < 2:
            assert clock.monotonic_s() < end_s
            await dispatcher.step()
        assert await hooks.waiting_count(made) == 2


@pytest.mark.parametrize("with_other", [False, True])
async def test_what_happened_while_it_was_disabled_is_not_told_but_replayed(store: Store, with_other: bool) -> None:
    async with HookRoom(store) as hooks:
        made = await hooks.add(NOWHERE)
        webhook_id = made.webhook.webhook_id
        if with_other:  # The log is read on; while nobody listens it is not.
            other = await hooks.add(NOWHERE)
            await hooks.webhooks.pause(PROJECT, other.webhook.webhook_id)
        since = hooks.clock.now()
        await hooks.webhooks.disable(PROJECT, webhook_id)
        await hooks.happen(3)
        await hooks.webhooks.pause(PROJECT, webhook_id)  # Told again, and its calls wait where they can be counted.
        await hooks.happen(1)
        dispatcher = hooks.dispatcher()
        clock = RealClock()
        end_s = clock.monotonic_s() + 10
        while await hooks.waiting_count(made) < 1:
            assert clock.monotonic_s() < end_s
            await dispatcher.step()
        assert await hooks.waiting_count(made) == 1
        assert (await hooks.webhooks.replay(PROJECT, webhook_id, since=since)).count == 4


async def test_what_comes_behind_a_call_that_waits_waits_too(store: Store) -> None:
    async with HookRoom(store) as hooks:
        made = await hooks.add(NOWHERE, ordering=WebhookOrdering.RECIPIENT)
        await hooks.happen(1, message_id=PROJECT)
        await hooks.until_logged(made, 1)
        await hooks.happen(1, message_id=PROJECT)
        clock = RealClock()
        while await hooks.waiting_count(made) < 2:
            await clock.sleep(0.02)
        async with store.transaction() as tx:
            first, second = await tx.fetch("SELECT due_at, project_id FROM webhook_call ORDER BY call_id")
        assert first["due_at"] == second["due_at"]
