"""Mail whose time is over ends in time, whatever its lane waits for: once, with its event, and nobody tries it."""

import asyncio
import random
from datetime import timedelta

import pytest

from outrider.engine.control import Control, Target
from outrider.engine.expiry import ExpiryKeeper
from outrider.engine.explain import Explainer
from outrider.obs.metrics import Metrics
from outrider.store import queue
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal
from outrider.testing.queueroom import QueueRoom

MINUTE = timedelta(minutes=1)
WAIT_S = 10.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def keeper(store: Store, clock: FakeClock, metrics: Metrics) -> ExpiryKeeper:
    return ExpiryKeeper(store, clock=clock, logger=Journal().logger, metrics=metrics)


async def test_mail_ends_in_time_in_a_lane_that_is_paused_held_or_of_nobody(
    store: Store, keeper: ExpiryKeeper, metrics: Metrics, clock: FakeClock, queueroom: QueueRoom
) -> None:
    control = Control(store, clock=clock, random_bits=random.Random(1).getrandbits)
    later = clock.now() + timedelta(hours=9)
    paused, held, unserved = (
        await queueroom.lane(paused_until=later, pause_kind="warmup"),
        await queueroom.lane(),
        await queueroom.lane(pool="nobody"),
    )
    await control.pause(Target.lane(held))
    codes = [await queueroom.mail(lane_id, 2, expires_at=clock.now() + MINUTE) for lane_id in (paused, held, unserved)]
    others = [await queueroom.mail(lane_id) for lane_id in (paused, held, unserved)]
    assert not await keeper.end_some()
    assert [await queueroom.statuses(code) for code in codes] == [["queued"] * 2] * 3, "its time is not over"
    clock.advance(60)
    assert not await keeper.end_some()
    assert [await queueroom.statuses(code) for code in codes] == [["expired"] * 2] * 3
    assert [await queueroom.statuses(other) for other in others] == [["queued"]] * 3
    assert [len(await queueroom.queue_rows(lane_id)) for lane_id in (paused, held, unserved)] == [1, 1, 1]
    expired = await queueroom.events("expired")
    assert {event["recipient_id"] for event in expired} == {one for code in codes for one in code.recipient_ids}
    first = expired[0]
    assert (first["reason"], first["attempt"], first["at"]) == ("expired", 1, clock.now())
    assert first["facts"] == {"phase": "route", "duration_ms": 0}, "as an attempt that asked nobody"
    assert (await queueroom.lane_row(paused))["paused_until"] == later, "the others wait on"
    assert 'outrider_settled_attempts_total{fate="deferred"} 6.0' in metrics.render().decode()
    (told,) = await Explainer(store, clock=clock).why(str(codes[0].message_id), project_id=queueroom.project_id)
    (line,) = told.lines
    assert line.sentence.startswith("2 expired: its time was over")
    assert not await keeper.end_some()
    assert len(await queueroom.events("expired")) == 6, "once"


async def test_what_a_process_works_on_and_what_is_held_is_left_alone(
    keeper: ExpiryKeeper, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    leased = await queueroom.mail(lane_id, expires_at=clock.now() + MINUTE)
    held = await queueroom.mail(None, status="held", reason="content", expires_at=clock.now() + MINUTE)
    await queueroom.lease(lane_id, queueroom.new_id(), lease_s=1)
    clock.advance(3600)
    await keeper.end_some()
    assert (await queueroom.statuses(leased), await queueroom.statuses(held)) == (["queued"], ["held"])


async def test_who_died_with_the_lane_may_have_delivered_it_and_its_end_says_so(
    keeper: ExpiryKeeper, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane(taken_over_at=clock.now())
    await queueroom.mail(lane_id, expires_at=clock.now() + MINUTE)
    clock.advance(60)
    await keeper.end_some()
    (event,) = await queueroom.events("expired")
    assert event["facts"]["taken_over"] is True


async def test_thousands_end_in_batches_and_of_several_keepers_one_ends_each(
    keeper: ExpiryKeeper, clock: FakeClock, queueroom: QueueRoom
) -> None:
    later = clock.now() + timedelta(hours=9)
    for _ in range(3):
        lane_id = await queueroom.lane(paused_until=later)
        await queueroom.mail(lane_id, 700, expires_at=clock.now() + MINUTE)
    clock.advance(60)
    for _ in range(5):
        await asyncio.gather(*(keeper.end_some() for _ in range(3)))
    assert not await keeper.end_some()
    expired = await queueroom.events("expired")
    assert len(expired) == len({event["recipient_id"] for event in expired}) == 2100
    assert await queueroom.fetch("SELECT FROM queue") == []


async def test_nobody_leases_a_lane_while_its_mail_ends_and_nobody_is_waited_for(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    ending, settling, leasing = [await queueroom.lane() for _ in range(3)]
    mails = [await queueroom.mail(lane_id, expires_at=clock.now()) for lane_id in (ending, settling, leasing)]
    async with asyncio.timeout(WAIT_S), store.transaction() as other:
        await other.execute("UPDATE queue SET attempt = 1 WHERE lane_id = $1", settling)
        await other.execute("UPDATE lane SET owner = $2 WHERE lane_id = $1", leasing, queueroom.new_id())
        async with store.transaction() as tx:
            found = await queue.expired(tx, now=clock.now(), count_max=9)
            assert [claim.recipient_id for claim, _ in found] == mails[0].recipient_ids
            lease = "SELECT lane_id FROM lane WHERE lane_id = $1 FOR NO KEY UPDATE SKIP LOCKED"
            assert not await other.fetch(lease, ending)
            assert await other.fetch("SELECT FROM lane WHERE lane_id = $1 FOR KEY SHARE", ending), "accepting goes on"
