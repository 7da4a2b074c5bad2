"""How calls went, as rows: newest first, each project's own, forgotten in time."""

from datetime import timedelta
from uuid import UUID

from outrider.base.vocab import WebhookOutcome
from outrider.store import webhook_log
from outrider.store.pool import Store
from outrider.store.webhook_log import NewDelivery
from outrider.testing.clock import FakeClock

OURS, THEIRS, WEBHOOK = UUID(int=1), UUID(int=2), UUID(int=3)


async def test_attempts_are_read_as_they_were_written(store: Store, clock: FakeClock) -> None:
    new = [
        NewDelivery(
            webhook_id=WEBHOOK,
            project_id=OURS,
            name=f"n{number}",
            events=[f"a{number}", "b"],
            kind="batch",
            attempt=number,
            at=clock.now() + timedelta(hours=number),
            outcome=WebhookOutcome.TAKEN if number % 2 else WebhookOutcome.RETRIED,
            status=200,
            error="",
            duration_s=0.25,
            excerpt="ok",
            retry_at=None if number % 2 else clock.now(),
        )
        for number in range(1, 6)
    ]
    async with store.transaction() as tx:
        await webhook_log.insert(tx, new)
        found = await webhook_log.page(tx, OURS, WEBHOOK, count_max=2)
        assert [one.name for one in found] == ["n5", "n4"]
        rest = await webhook_log.page(tx, OURS, WEBHOOK, before=found[-1].delivery_id, count_max=9)
        for read, written in zip([*found, *rest], reversed(new), strict=True):
            assert all(getattr(read, name) == getattr(written, name) for name in NewDelivery.__struct_fields__)
            assert await webhook_log.find(tx, OURS, WEBHOOK, read.delivery_id) == read
            assert await webhook_log.find(tx, THEIRS, WEBHOOK, read.delivery_id) is None
        taken = await webhook_log.page(tx, OURS, WEBHOOK, outcomes=[WebhookOutcome.TAKEN], count_max=9)
        assert [one.attempt for one in taken] == [5, 3, 1]
        assert await webhook_log.page(tx, THEIRS, WEBHOOK, count_max=9) == []


async def test_old_ones_are_forgotten_some_at_a_time(store: Store, clock: FakeClock) -> None:
    new = [
        NewDelivery(
            webhook_id=WEBHOOK,
            project_id=OURS,
            name="n",
            events=["e"],
            kind="delivered",
            attempt=1,
            at=clock.now() + timedelta(hours=number),
            outcome=WebhookOutcome.TAKEN,
        )
        for number in range(5)
    ]
    async with store.transaction() as tx:
        await webhook_log.insert(tx, new)
        assert await webhook_log.sweep(tx, before=clock.now() + timedelta(hours=3), count_max=2)
        assert not await webhook_log.sweep(tx, before=clock.now() + timedelta(hours=3), count_max=2)
        assert len(await webhook_log.page(tx, OURS, WEBHOOK, count_max=9)) == 2
