"""What customers do with their webhooks: what is refused, what is told again, and whose they are."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, ConflictError, LimitReachedError, NotFoundError
from outrider.base.vocab import EventKind, WebhookState
from outrider.services.webhooks import endpoints
from outrider.services.webhooks.endpoints import Wish
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.hookroom import OTHER_PROJECT, PROJECT, HookRoom
from outrider.testing.http_peer import HttpPeer, answer

pytestmark = [pytest.mark.slow, pytest.mark.newest]

NOWHERE = "http://127.0.0.1:1025/hooks"
TEST_ANSWERED = 202


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(RealClock().now())


@pytest.fixture
async def hooks(store: Store) -> AsyncIterator[HookRoom]:
    async with HookRoom(store) as room:
        yield room


@pytest.mark.parametrize(
    ("wish", "more", "field"),
    [
        ({"url": "ftp://a.example"}, {}, "url"),
        ({"url": "http://10.0.0.1/"}, {}, "url"),
        ({"url": NOWHERE, "description": "a\nb"}, {}, "description"),
        ({"url": NOWHERE, "batch_count": 0}, {}, "batch_count"),
        ({"url": NOWHERE, "batch_wait_s": 61}, {}, "batch_wait_s"),
        ({"url": NOWHERE}, {"token": "a\r\nb"}, "token"),
        ({"url": NOWHERE}, {"secret": "short"}, "secret"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field(
    hooks: HookRoom, wish: dict[str, Any], more: dict[str, str], field: str
) -> None:
    with pytest.raises(CallerError) as caught:
        await hooks.webhooks.add(PROJECT, Wish(**wish), **more)
    assert caught.value.field == field
    assert await hooks.webhooks.page(PROJECT, count_max=10) == []


async def test_a_project_has_so_many_and_reads_them_page_by_page(hooks: HookRoom) -> None:
    for number in range(limits.WEBHOOKS_OF_ONE_COUNT_MAX):
        await hooks.add(f"{NOWHERE}{number}")
    with pytest.raises(LimitReachedError):
        await hooks.add(NOWHERE)
    first = await hooks.webhooks.page(PROJECT, count_max=30)
    rest = await hooks.webhooks.page(PROJECT, cursor=endpoints.place_of(first[-1]), count_max=30)
    assert len({one.url for one in (*first, *rest)}) == limits.WEBHOOKS_OF_ONE_COUNT_MAX
    assert await hooks.webhooks.page(OTHER_PROJECT, count_max=30) == []


async def test_another_project_s_is_not_there(hooks: HookRoom) -> None:
    made = await hooks.add(NOWHERE)
    theirs, webhook_id, service = OTHER_PROJECT, made.webhook.webhook_id, hooks.webhooks
    for act in (
        service.show(theirs, webhook_id),
        service.change(theirs, webhook_id, {"description": "mine"}),
        service.remove(theirs, webhook_id),
        service.rotate(theirs, webhook_id),
        service.pause(theirs, webhook_id),
        service.resume(theirs, webhook_id),
        service.disable(theirs, webhook_id),
        service.test(theirs, webhook_id),
        service.replay(theirs, webhook_id, since=hooks.clock.now()),
        service.replay_ids(theirs, webhook_id, []),
        service.deliveries(theirs, webhook_id, count_max=1),
        service.retry(theirs, webhook_id, 1),
    ):
        with pytest.raises(NotFoundError):
            await act
    assert (await service.show(PROJECT, webhook_id)).webhook == made.webhook


async def test_it_is_changed_part_by_part(hooks: HookRoom) -> None:
    made = await hooks.add(NOWHERE, token="one")
    webhook_id = made.webhook.webhook_id
    shown = await hooks.webhooks.change(PROJECT, webhook_id, {"kinds": (EventKind.BOUNCED,)}, token="")
    assert (shown.webhook.url, shown.webhook.kinds, shown.has_token) == (NOWHERE, (EventKind.BOUNCED,), False)
    shown = await hooks.webhooks.change(PROJECT, webhook_id, {"url": f"{NOWHERE}2"}, token="two")
    assert (shown.webhook.url, shown.webhook.kinds, shown.has_token) == (f"{NOWHERE}2", (EventKind.BOUNCED,), True)
    with pytest.raises(CallerError):
        await hooks.webhooks.change(PROJECT, webhook_id, {"url": "http://10.0.0.1/"})


async def test_secrets_overlap_for_as_long_as_is_said(hooks: HookRoom) -> None:
    made = await hooks.add(NOWHERE)
    webhook_id = made.webhook.webhook_id
    second = await hooks.webhooks.rotate(PROJECT, webhook_id)
    assert second.secret != made.secret
    ends_at = (await hooks.webhooks.show(PROJECT, webhook_id)).old_secret_ends_at
    assert ends_at is not None
    assert ends_at - hooks.clock.now() > timedelta(hours=23)
    for overlap in (timedelta(days=8), timedelta(seconds=-1)):
        with pytest.raises(CallerError):
            await hooks.webhooks.rotate(PROJECT, webhook_id, overlap=overlap)
    await hooks.webhooks.rotate(PROJECT, webhook_id, overlap=timedelta(0))
    assert (await hooks.webhooks.show(PROJECT, webhook_id)).old_secret_ends_at is None
    for _ in range(limits.WEBHOOK_SECRETS_COUNT_MAX - 1):
        await hooks.webhooks.rotate(PROJECT, webhook_id)
    with pytest.raises(LimitReachedError):
        await hooks.webhooks.rotate(PROJECT, webhook_id)


async def test_a_test_tells_what_the_server_says_and_changes_nothing(hooks: HookRoom) -> None:
    with HttpPeer([answer(TEST_ANSWERED, b"fine"), answer(500)]) as peer:
        made = await hooks.add(peer.url, token="word")
        said = await hooks.webhooks.test(PROJECT, made.webhook.webhook_id)
        assert (said.status, said.excerpt, said.is_taken) == (TEST_ANSWERED, "fine", True)
        assert not (await hooks.webhooks.test(PROJECT, made.webhook.webhook_id)).is_taken
    assert b'"type":"webhook.test"' in peer.heard[0].body
    assert await hooks.log(made) == []
    assert (await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)).webhook == made.webhook


async def test_what_happened_is_told_again_by_time_by_id_and_by_delivery(hooks: HookRoom) -> None:
    await hooks.happen(3, kind=EventKind.BOUNCED)
    await hooks.happen(2, kind=EventKind.DELIVERED)
    await hooks.happen(1, project_id=OTHER_PROJECT)
    with HttpPeer([answer(200)]) as peer:
        made = await hooks.add(peer.url, kinds=[EventKind.BOUNCED])
        webhook_id, hour = made.webhook.webhook_id, timedelta(hours=1)
        done = await hooks.webhooks.replay(PROJECT, webhook_id, since=hooks.clock.now() - hour)
        assert (done.count, done.next_cursor) == (3, "")
        first, *_ = await hooks.until_logged(made, 3)
        assert (await hooks.webhooks.replay_ids(PROJECT, webhook_id, [first.name, "1-1-1"])).count == 1
        await hooks.until_logged(made, 4)
        assert await hooks.webhooks.retry(PROJECT, webhook_id, first.delivery_id) == 1
        logged = await hooks.until_logged(made, 5)
        future = hooks.clock.now() + hour
        assert (await hooks.webhooks.replay(PROJECT, webhook_id, since=future)).count == 0
    assert [one.name for one in logged].count(first.name) == 3
    assert {one.body for one in peer.heard if one.headers["webhook-id"] == first.name} == {peer.heard[0].body}


async def test_what_cannot_be_told_again_is_refused(hooks: HookRoom) -> None:
    made = await hooks.add(NOWHERE)
    webhook_id, service = made.webhook.webhook_id, hooks.webhooks
    with pytest.raises(CallerError):
        await service.replay(PROJECT, webhook_id, since=datetime(2026, 1, 1))  # noqa: DTZ001 - on purpose.
    for ids in (["nonsense"], ["1-1-1"] * (limits.WEBHOOK_REPLAY_IDS_COUNT_MAX + 1)):
        with pytest.raises(CallerError) as caught:
            await service.replay_ids(PROJECT, webhook_id, ids)
        assert caught.value.field == "ids"
    with pytest.raises(NotFoundError):
        await service.retry(PROJECT, webhook_id, 7)
    with pytest.raises(CallerError):
        await service.deliveries(PROJECT, webhook_id, cursor="x", count_max=1)
    await service.disable(PROJECT, webhook_id)
    with pytest.raises(ConflictError):
        await service.replay(PROJECT, webhook_id, since=hooks.clock.now())


async def test_states_are_set_twice_as_once(hooks: HookRoom) -> None:
    made = await hooks.add(NOWHERE)
    for act, state in (
        (hooks.webhooks.pause, WebhookState.PAUSED),
        (hooks.webhooks.disable, WebhookState.DISABLED),
        (hooks.webhooks.resume, WebhookState.ACTIVE),
    ):
        first = await act(PROJECT, made.webhook.webhook_id)
        assert first.webhook.state is state
        assert await act(PROJECT, made.webhook.webhook_id) == first
    await hooks.webhooks.remove(PROJECT, made.webhook.webhook_id)
    with pytest.raises(NotFoundError):
        await hooks.webhooks.show(PROJECT, made.webhook.webhook_id)
    with pytest.raises(NotFoundError):
        await hooks.webhooks.show(PROJECT, uuid4())
