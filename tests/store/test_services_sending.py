"""Webhooks called over real sockets: what is said, how it is signed, and what becomes of each call."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest
from standardwebhooks import Webhook as Verifier

from outrider.base.vocab import EventKind, WebhookOrdering, WebhookOutcome, WebhookState
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import PROJECT, HookRoom
from outrider.testing.http_peer import HttpPeer, answer

pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


@pytest.fixture
async def hooks(store: Store) -> AsyncIterator[HookRoom]:
    async with HookRoom(store) as room:
        yield room


async def test_an_event_is_told_and_the_library_verifies_it(hooks: HookRoom) -> None:
    with HttpPeer([answer(204)]) as peer:
        made = await hooks.add(f"{peer.url}/hooks?x=1", token="plain")
        await hooks.happen(kind=EventKind.BOUNCED)
        (logged,) = await hooks.until_logged(made, 1)
    (heard,) = peer.heard
    assert (heard.method, heard.target) == ("POST", "/hooks?x=1")
    said = Verifier(made.secret).verify(heard.body, dict(heard.headers))
    assert (said["type"], said["Token"], said["data"]["kind"]) == ("mail.bounced", "plain", "bounced")
    assert heard.headers["x-webhook-token"] == "plain"
    assert heard.headers["webhook-id"] == said["data"]["id"] == logged.name
    assert (logged.outcome, logged.status, logged.attempt) == (WebhookOutcome.TAKEN, 204, 1)
    assert await hooks.waiting_count(made) == 0


async def test_only_the_kinds_that_are_wanted_are_told_and_only_to_their_project(hooks: HookRoom) -> None:
    with HttpPeer([answer(200)]) as peer:
        made = await hooks.add(peer.url, kinds=[EventKind.COMPLAINED])
        await hooks.happen(kind=EventKind.DELIVERED)
        await hooks.happen(kind=EventKind.COMPLAINED, project_id=uuid4())
        await hooks.happen(kind=EventKind.COMPLAINED)
        await hooks.until_logged(made, 1)
    assert [msgspec.json.decode(one.body)["type"] for one in peer.heard] == ["mail.complained"]


async def test_what_is_not_taken_is_tried_again_under_the_same_name(hooks: HookRoom) -> None:
    with HttpPeer([answer(500, b"sorry"), answer(200)]) as peer:
        made = await hooks.add(peer.url)
        await hooks.happen()
        (first,) = await hooks.until_logged(made, 1)
        assert (first.outcome, first.status, first.excerpt) == (WebhookOutcome.RETRIED, 500, "sorry")
        assert first.retry_at is not None
        assert timedelta(seconds=4) < first.retry_at - first.at < timedelta(seconds=8)
        shown = await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)
        assert shown.webhook.failing_since is not None
        await hooks.hurry()
        _, second = await hooks.until_logged(made, 2)
        shown = await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)
    assert (second.outcome, second.attempt, shown.webhook.failing_since) == (WebhookOutcome.TAKEN, 2, None)
    one, two = peer.heard
    assert one.headers["webhook-id"] == two.headers["webhook-id"]
    assert one.body == two.body
    Verifier(made.secret).verify(two.body, dict(two.headers))


async def test_while_a_secret_is_replaced_both_sign(hooks: HookRoom) -> None:
    with HttpPeer([answer(200)]) as peer:
        made = await hooks.add(peer.url)
        new = await hooks.webhooks.rotate(PROJECT, made.webhook.webhook_id, overlap=timedelta(hours=1))
        await hooks.happen()
        await hooks.until_logged(made, 1)
        await hooks.webhooks.rotate(PROJECT, made.webhook.webhook_id, overlap=timedelta(0))
    (heard,) = peer.heard
    assert len(heard.headers["webhook-signature"].split()) == 2
    for secret in (made.secret, new.secret):
        Verifier(secret).verify(heard.body, dict(heard.headers))


async def test_calls_with_one_key_go_one_after_the_other_and_block_no_others(hooks: HookRoom) -> None:
    blocked, free = uuid4(), uuid4()
    with HttpPeer([answer(500), answer(200)]) as peer:
        made = await hooks.add(peer.url, ordering=WebhookOrdering.MESSAGE)
        await hooks.happen(1, message_id=blocked)
        await hooks.until_logged(made, 1)
        await hooks.happen(3, message_id=blocked)
        await hooks.happen(2, message_id=free)
        await hooks.until_logged(made, 3)
        await hooks.until(lambda: len(peer.heard) == 3)
        assert await hooks.waiting_count(made) == 4
        await hooks.hurry()
        await hooks.until_logged(made, 7)
    told = [msgspec.json.decode(one.body)["data"] for one in peer.heard]
    of_blocked = [(one["id"], one["reason"]) for one in told if one["message_id"] == str(blocked)]
    assert [reason for _, reason in of_blocked] == ["n0", "n0", "n0", "n1", "n2"]
    assert of_blocked[0][0] == of_blocked[1][0]


async def test_several_events_travel_together(hooks: HookRoom) -> None:
    with HttpPeer([answer(500), answer(200)]) as peer:
        made = await hooks.add(peer.url, batch_count=3, batch_wait_s=0.3, token="plain")
        await hooks.happen(5)
        await hooks.until_logged(made, 2)
        await hooks.hurry()
        await hooks.until_logged(made, 3)
    said = [Verifier(made.secret).verify(one.body, dict(one.headers)) for one in peer.heard]
    assert [(one["type"], len(one["data"]), one["Token"]) for one in said] == [
        ("batch", 3, "plain"),
        ("batch", 2, "plain"),
        ("batch", 3, "plain"),
    ]
    assert said[0] == said[2]
    assert peer.heard[0].headers["webhook-id"] == peer.heard[2].headers["webhook-id"]
    assert await hooks.waiting_count(made) == 0


async def test_a_webhook_that_is_paused_gets_its_calls_when_it_is_resumed(hooks: HookRoom) -> None:
    with HttpPeer([answer(200)]) as peer:
        made = await hooks.add(peer.url)
        await hooks.webhooks.pause(PROJECT, made.webhook.webhook_id)
        await hooks.happen(2)
        marker = await hooks.add(f"{peer.url}/marker")
        await hooks.happen()
        await hooks.until_logged(marker, 1)
        assert await hooks.waiting_count(made) == 3
        await hooks.webhooks.resume(PROJECT, made.webhook.webhook_id)
        await hooks.until_logged(made, 3)


async def test_two_senders_share_the_webhooks_and_call_each_once(hooks: HookRoom) -> None:
    with HttpPeer([answer(200)]) as peer:
        async with hooks.sending():
            made = [await hooks.add(f"{peer.url}/{number}") for number in range(4)]
            await hooks.happen(25)
            await asyncio.gather(*(hooks.until_logged(one, 25) for one in made))
    assert len(peer.heard) == len({(one.target, one.headers["webhook-id"]) for one in peer.heard}) == 100


async def test_what_three_days_did_not_bring_is_given_up(hooks: HookRoom) -> None:
    with HttpPeer([answer(500)]) as peer:
        made = await hooks.add(peer.url)
        await hooks.happen()
        await hooks.until_logged(made, 1)
        async with hooks.store.transaction() as tx:
            await tx.execute("UPDATE webhook_call SET created_at = created_at - interval '3 days'")
        await hooks.hurry()
        logged = await hooks.until_logged(made, 2)
    assert [one.outcome for one in logged] == [WebhookOutcome.RETRIED, WebhookOutcome.GIVEN_UP]
    assert await hooks.waiting_count(made) == 0
    assert (await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)).webhook.state is WebhookState.ACTIVE
