"""Calls that wait, and whose turn it is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from outrider.store import webhook_calls, webhooks
from outrider.store.pool import Store
from outrider.store.webhook_calls import NewCall, PutOff, WaitingCall, Wanted
from outrider.store.webhooks import Webhook
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

A, B = UUID(int=1), UUID(int=2)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class Calls:
    """Webhook with calls."""

    def __init__(self, store: Store, clock: FakeClock, webhook: Webhook) -> None:
        self.store = store
        self.clock = clock
        self.webhook = webhook

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def put_in(self, count: int = 1, *, key: str = "", due_in: timedelta = timedelta(0)) -> None:
        new = [
            NewCall(
                webhook_id=self.webhook.webhook_id,
                project_id=self.webhook.project_id,
                event=f"e{number}",
                kind="delivered",
                ordering_key=key,
                payload=b"{}",
                due_at=self.now + due_in,
                created_at=self.now,
            )
            for number in range(count)
        ]
        async with self.store.transaction() as tx:
            await webhook_calls.insert(tx, new)
            await webhook_calls.wake(tx, {self.webhook.webhook_id: self.now + due_in})

    async def lease(self, owner: UUID = A) -> Sequence[UUID]:
        async with self.store.transaction() as tx:
            return await webhook_calls.lease(tx, owner, now=self.now, lease_until=self.now + 30 * SECOND, count_max=10)

    async def release(self, owner: UUID = A) -> None:
        async with self.store.transaction() as tx:
            await webhook_calls.release(tx, owner, [self.webhook.webhook_id])

    async def due(self, *, but: Sequence[int] = (), count: int = 100) -> Sequence[WaitingCall]:
        async with self.store.transaction() as tx:
            return await webhook_calls.due(tx, [Wanted(self.webhook.webhook_id, count, self.now)], but=but)

    async def hold(self, until: datetime) -> None:
        async with self.store.transaction() as tx:
            await webhook_calls.hold(tx, self.webhook.project_id, self.webhook.webhook_id, until=until)


@pytest.fixture
async def calls(store: Store, clock: FakeClock, mailroom: Mailroom) -> Calls:
    now = clock.now()
    made = Webhook(
        webhook_id=mailroom.new_id(),
        project_id=await mailroom.project(),
        url="https://a.example/",
        state_at=now,
        created_at=now,
        updated_at=now,
    )
    async with store.transaction() as tx:
        await webhooks.insert(tx, made, count_max=1)
    return Calls(store, clock, made)


async def test_one_process_at_a_time_has_a_webhook(calls: Calls) -> None:
    assert await calls.lease() == [], "nothing is due"
    await calls.put_in(2)
    assert await calls.lease(A) == [calls.webhook.webhook_id]
    assert await calls.lease(B) == []
    calls.clock.advance(29)
    async with calls.store.transaction() as tx:
        until = calls.now + 30 * SECOND
        assert await webhook_calls.renew(tx, A, [calls.webhook.webhook_id], lease_until=until)
        assert not await webhook_calls.renew(tx, B, [calls.webhook.webhook_id], lease_until=until)
    calls.clock.advance(29)
    assert await calls.lease(B) == []
    calls.clock.advance(2)
    assert await calls.lease(B) == [calls.webhook.webhook_id], "a lease runs out"
    await calls.release(A)
    assert await calls.lease(A) == [], "who is no longer its owner gives nothing back"
    await calls.release(B)
    assert await calls.lease(A) == [calls.webhook.webhook_id]


async def test_it_is_due_when_its_calls_are(calls: Calls) -> None:
    await calls.put_in(due_in=HOUR)
    assert await calls.lease() == []
    await calls.put_in(due_in=SECOND)
    calls.clock.advance(1)
    assert await calls.lease() == [calls.webhook.webhook_id]
    (due,) = await calls.due()
    async with calls.store.transaction() as tx:
        await webhook_calls.settle(tx, over=[due.call_id], put_off=[])
    await calls.release()
    assert await calls.lease() == []
    calls.clock.advance(3600)
    assert await calls.lease() == [calls.webhook.webhook_id]


async def test_a_pause_outlasts_new_calls_and_a_release(calls: Calls) -> None:
    await calls.put_in()
    await calls.lease()
    await calls.hold(calls.now + HOUR)
    await calls.release()
    await calls.put_in()
    assert await calls.lease() == []
    calls.clock.advance(3600)
    assert await calls.lease() == [calls.webhook.webhook_id]
    await calls.hold(calls.now + HOUR)
    await calls.release()
    async with calls.store.transaction() as tx:
        await webhook_calls.let_go(tx, calls.webhook.project_id, calls.webhook.webhook_id, now=calls.now)
    assert await calls.lease() == [calls.webhook.webhook_id]


async def test_calls_come_in_order_and_those_in_hand_are_left_out(calls: Calls) -> None:
    await calls.put_in(5)
    found = await calls.due(count=3)
    assert [one.event for one in found] == ["e0", "e1", "e2"]
    rest = await calls.due(but=[one.call_id for one in found])
    assert [one.event for one in rest] == ["e3", "e4"]


async def test_what_is_put_off_puts_off_those_behind_it_and_no_others(calls: Calls) -> None:
    await calls.put_in(3, key="a")
    await calls.put_in(1, key="b")
    first = (await calls.due())[0]
    async with calls.store.transaction() as tx:
        await webhook_calls.settle(tx, over=[], put_off=[PutOff(first.call_id, 1, calls.now + HOUR)])
    assert [one.ordering_key for one in await calls.due()] == ["b"]
    await calls.put_in(1, key="a")
    assert [one.ordering_key for one in await calls.due()] == ["b"], "a new one waits behind it too"
    calls.clock.advance(3600)
    assert [one.attempt for one in await calls.due() if one.ordering_key == "a"] == [1, 0, 0, 0]


async def test_an_outcome_of_an_older_attempt_changes_nothing(calls: Calls) -> None:
    await calls.put_in()
    (one,) = await calls.due()
    async with calls.store.transaction() as tx:
        await webhook_calls.settle(tx, over=[], put_off=[PutOff(one.call_id, 2, calls.now + HOUR)])
        await webhook_calls.settle(tx, over=[], put_off=[PutOff(one.call_id, 1, calls.now)])
    assert await calls.due() == []


async def test_calls_of_a_webhook_that_is_gone_are_not_kept(calls: Calls) -> None:
    async with calls.store.transaction() as tx:
        await webhooks.remove(tx, calls.webhook.project_id, calls.webhook.webhook_id)
    await calls.put_in()
    assert await calls.due() == []


async def test_a_backlog_is_counted_so_far_and_what_is_old_is_found(calls: Calls) -> None:
    await calls.put_in(5)
    where = (calls.webhook.project_id, calls.webhook.webhook_id)
    async with calls.store.transaction() as tx:
        assert (await webhook_calls.backlog(tx, *where, count_max=3)).count == 3
        found = await webhook_calls.backlog(tx, *where, count_max=100)
        assert (found.count, found.oldest_at) == (5, calls.now)
        assert (await webhook_calls.backlog(tx, UUID(int=9), where[1], count_max=9)).count == 0
        assert await webhook_calls.expired(tx, created_before=calls.now, count_max=9) == []
        assert len(await webhook_calls.expired(tx, created_before=calls.now + SECOND, count_max=3)) == 3
