"""Webhooks and their secrets as rows."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import EventKind, WebhookOrdering, WebhookState
from outrider.store import webhooks
from outrider.store.pool import Store
from outrider.store.webhooks import Secret, Webhook
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

THEIRS = UUID(int=9)


@pytest.fixture
async def webhook(store: Store, mailroom: Mailroom, clock: FakeClock) -> Webhook:
    now = clock.now()
    made = Webhook(
        webhook_id=mailroom.new_id(),
        project_id=await mailroom.project(),
        url="https://a.example/",
        kinds=(EventKind.BOUNCED,),
        state_at=now,
        created_at=now,
        updated_at=now,
    )
    async with store.transaction() as tx:
        assert await webhooks.insert(tx, made, count_max=1)
    return made


def secret(webhook: Webhook, number: int, *, is_token: bool = False) -> Secret:
    return Secret(
        secret_id=UUID(int=number),
        webhook_id=webhook.webhook_id,
        project_id=webhook.project_id,
        is_token=is_token,
        sealed=b"sealed %d" % number,
        created_at=webhook.created_at + timedelta(seconds=number),
    )


async def test_it_is_found_as_it_was_stored_by_its_project_alone(store: Store, webhook: Webhook) -> None:
    async with store.transaction() as tx:
        assert await webhooks.find(tx, webhook.project_id, webhook.webhook_id) == webhook
        assert await webhooks.lock(tx, webhook.project_id, webhook.webhook_id) == webhook
        assert await webhooks.of_project(tx, webhook.project_id, count_max=5) == [webhook]
        assert await webhooks.by_ids(tx, [webhook.webhook_id, THEIRS]) == [webhook]
        assert await webhooks.find(tx, THEIRS, webhook.webhook_id) is None
        assert not await webhooks.remove(tx, THEIRS, webhook.webhook_id)
        assert await webhooks.remove(tx, webhook.project_id, webhook.webhook_id)


async def test_there_are_no_more_than_allowed(store: Store, webhook: Webhook, mailroom: Mailroom) -> None:
    values = {name: getattr(webhook, name) for name in Webhook.__struct_fields__}
    async with store.transaction() as tx:
        other = Webhook(**values | {"webhook_id": mailroom.new_id()})
        assert not await webhooks.insert(tx, other, count_max=1)
        assert await webhooks.insert(tx, other, count_max=2)


async def test_it_changes_and_moves(store: Store, webhook: Webhook, clock: FakeClock) -> None:
    values = {name: getattr(webhook, name) for name in Webhook.__struct_fields__}
    changed = Webhook(**values | {"url": "https://b.example/", "ordering": WebhookOrdering.MESSAGE, "kinds": ()})
    async with store.transaction() as tx:
        which = (webhook.project_id, webhook.webhook_id)
        await webhooks.change(tx, changed)
        await webhooks.mark_failing(tx, [which], now=clock.now())
        await webhooks.mark_failing(tx, [which], now=clock.now() + timedelta(hours=1))
        found = await webhooks.find(tx, webhook.project_id, webhook.webhook_id)
        assert found is not None
        assert (found.url, found.ordering, found.failing_since) == ("https://b.example/", "message", clock.now())
        await webhooks.mark_taking(tx, [which])
        await webhooks.set_state(
            tx, found, WebhookState.DISABLED, reason="gone", now=clock.now(), failing_since=clock.now()
        )
        found = await webhooks.find(tx, webhook.project_id, webhook.webhook_id)
        assert found is not None
        assert (found.state, found.state_reason) == (WebhookState.DISABLED, "gone")
        assert not await webhooks.has_any(tx)
        assert await webhooks.told(tx, [webhook.project_id]) == []


async def test_who_is_told_of_whose_events(store: Store, webhook: Webhook) -> None:
    async with store.transaction() as tx:
        assert await webhooks.has_any(tx)
        (one,) = await webhooks.told(tx, [webhook.project_id, THEIRS])
        assert (one.webhook_id, one.kinds, one.wait_s) == (webhook.webhook_id, {"bounced"}, 0.0)
        assert await webhooks.told(tx, [THEIRS]) == []


@pytest.mark.parametrize("state", [WebhookState.ACTIVE, WebhookState.PAUSED])
async def test_it_is_told_from_its_beginning_and_anew_from_when_it_was_enabled_again(
    store: Store, webhook: Webhook, clock: FakeClock, state: WebhookState
) -> None:
    async with store.transaction() as tx:

        async def told_from(*states: WebhookState) -> object:
            for one in states:
                clock.advance(1.0)
                await webhooks.set_state(tx, webhook, one, reason="", now=clock.now(), failing_since=None)
            return [one.told_from for one in await webhooks.told(tx, [webhook.project_id])]

        assert await told_from() == [webhook.created_at]
        assert await told_from(WebhookState.PAUSED, WebhookState.ACTIVE) == [webhook.created_at]
        assert await told_from(WebhookState.DISABLED, state) == [clock.now()]
        enabled_at = clock.now()
        assert await told_from(WebhookState.FAILING, WebhookState.ACTIVE) == [enabled_at]


async def test_secrets_end_when_it_is_said_and_the_newest_signs_first(
    store: Store, webhook: Webhook, clock: FakeClock
) -> None:
    now, ids = clock.now(), [webhook.webhook_id]
    async with store.transaction() as tx:
        for one in (secret(webhook, 1), secret(webhook, 2, is_token=True)):
            await webhooks.add_secret(tx, one)
        where = (webhook.project_id, webhook.webhook_id)
        await webhooks.end_secrets(tx, *where, is_token=False, ends_at=now + timedelta(hours=1), now=now)
        await webhooks.add_secret(tx, secret(webhook, 3))
        found = (await webhooks.secrets(tx, ids, now=now))[webhook.webhook_id]
        assert [one.secret_id.int for one in found] == [3, 2, 1]
        later = (await webhooks.secrets(tx, ids, now=now + timedelta(hours=2)))[webhook.webhook_id]
        assert [one.secret_id.int for one in later] == [3, 2]


async def test_secrets_are_sealed_anew_one_by_one(store: Store, webhook: Webhook) -> None:
    async with store.transaction() as tx:
        for number in (1, 2):
            await webhooks.add_secret(tx, secret(webhook, number))
        assert await webhooks.count_sealed(tx, 6) == {b"sealed": 2}
        (first, _) = await webhooks.sealed_otherwise(tx, b"fresh", after="", count_max=5)
        assert first.context == webhooks.context_of(UUID(int=1))
        await webhooks.reseal(tx, first.project_id, first.name, b"fresh 1")
        (left,) = await webhooks.sealed_otherwise(tx, b"fresh", after="", count_max=5)
        assert left.name == str(UUID(int=2))
        assert await webhooks.sealed_otherwise(tx, b"fresh", after=left.name, count_max=5) == []
