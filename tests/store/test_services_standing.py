"""Webhooks paused, resumed and disabled by what came back, with an event and a notice each."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outrider.base.vocab import EventKind, WebhookOutcome, WebhookState
from outrider.services.webhooks.endpoints import Made
from outrider.store import notices
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import PROJECT, HookRoom
from outrider.testing.http_peer import HttpPeer, answer

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


@pytest.fixture
async def hooks(store: Store) -> AsyncIterator[HookRoom]:
    async with HookRoom(store) as room:
        yield room


async def state(hooks: HookRoom, made: Made) -> WebhookState:
    return (await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)).webhook.state


async def until_state(hooks: HookRoom, made: Made, wanted: WebhookState) -> None:
    clock = RealClock()
    end_s = clock.monotonic_s() + 10
    while await state(hooks, made) is not wanted:
        assert clock.monotonic_s() < end_s, await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)
        await clock.sleep(0.02)


async def told(hooks: HookRoom) -> list[EventKind]:
    async with hooks.store.transaction() as tx:
        return [one.kind for one in await notices.of_project(tx, PROJECT, with_seen=True, count_max=10)]


async def test_410_disables_at_once_and_nothing_more_is_told(hooks: HookRoom) -> None:
    with HttpPeer([answer(410)]) as peer:
        made = await hooks.add(peer.url)
        await hooks.happen()
        await until_state(hooks, made, WebhookState.DISABLED)
        await hooks.happen(3)
        marker = await hooks.add(f"{peer.url}/marker")
        await hooks.happen()
        await hooks.until_logged(marker, 1)
    assert await hooks.waiting_count(made) == 1, "the one that was told waits in case it was a mistake"
    assert [one.target for one in peer.heard].count("/") == 1
    assert EventKind.WEBHOOK_DISABLED in await told(hooks)


async def test_a_day_of_failures_pauses_a_probe_tries_and_its_success_resumes(hooks: HookRoom) -> None:
    with HttpPeer([answer(500), answer(500), answer(500), answer(200)]) as peer:
        made = await hooks.add(peer.url)
        await hooks.happen(1)
        await hooks.until_logged(made, 1)
        await hooks.age(made, failing_since=hooks.clock.now() - DAY)
        await RealClock().sleep(1.2)  # The sender reads states once a second and tells nobody.
        await hooks.hurry()
        await until_state(hooks, made, WebhookState.FAILING)
        await hooks.happen(3)
        await hooks.hurry()
        await hooks.until_logged(made, 3)
        assert await state(hooks, made) is WebhookState.FAILING
        assert await told(hooks) == [EventKind.WEBHOOK_PAUSED], "once"
        await hooks.hurry()
        await until_state(hooks, made, WebhookState.ACTIVE)
        # Four events of ours, and those that tell of its pause and its return.
        logged = await hooks.until_logged(made, 3 + 6)
    assert [one.outcome for one in logged[:3]] == [WebhookOutcome.RETRIED] * 3
    assert {one.outcome for one in logged[3:]} == {WebhookOutcome.TAKEN}
    assert await told(hooks) == [EventKind.WEBHOOK_RESUMED, EventKind.WEBHOOK_PAUSED]
    assert {"webhook_paused", "webhook_resumed"} <= {one.kind for one in logged}
