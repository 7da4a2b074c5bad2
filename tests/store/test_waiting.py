"""What an operator moves: nobody is waited for, nobody is begun meanwhile, and no wake-up is lost."""

import asyncio
from datetime import timedelta

from outrider.base.vocab import HoldScope, RecipientStatus
from outrider.store import waiting
from outrider.store.pool import Store
from outrider.store.waiting import Place
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import SENDER_DOMAIN, Mailroom, wait_blocked
from outrider.testing.queueroom import QueueRoom

WAIT_S = 10.0


async def test_lanes_of_a_scope_come_in_pages(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    made = [await queueroom.lane(provider="gmail") for _ in range(3)]
    await queueroom.lane(provider="", project_id=await queueroom.project("other"))
    await queueroom.lease(made[1], queueroom.new_id())
    async with store.transaction() as tx:
        for scope, subject in ((HoldScope.PROVIDER, "gmail"), (HoldScope.PROJECT, str(queueroom.project_id))):
            assert await waiting.lane_ids(tx, scope, subject, after_id=0, count_max=2) == made[:2]
            assert await waiting.lane_ids(tx, scope, subject, after_id=made[1], count_max=2) == made[2:]
            assert set(await waiting.free_lane_ids(tx, scope, subject, count_max=9)) == {made[0], made[2]}
            assert await waiting.leased_count(tx, scope, subject, now=clock.now()) == 1
            assert await waiting.leased_count(tx, scope, subject, now=clock.now() + timedelta(hours=1)) == 0
        assert await waiting.lane_ids(tx, HoldScope.LANE, str(made[1]), after_id=0, count_max=2) == [made[1]]
        assert await waiting.lane_ids(tx, HoldScope.PROVIDER, "", after_id=0, count_max=2) == [], "nobody is nameless"


async def test_a_provider_is_known_by_a_lane_or_a_gate(store: Store, queueroom: QueueRoom) -> None:
    await queueroom.lane(provider="gmail")
    await queueroom.gate(await queueroom.node(), "a", "qq")
    async with store.transaction() as tx:
        known = {name: await waiting.is_provider_known(tx, name) for name in ("gmail", "qq", "gmial")}
        assert known == {"gmail": True, "qq": True, "gmial": False}


async def test_rows_that_a_settle_has_in_its_hands_are_left_to_the_next_pass(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id, 3)
    now = clock.now()
    async with store.transaction() as settle, asyncio.timeout(WAIT_S):
        await settle.execute("UPDATE queue SET attempt = 1 WHERE recipient_id = $1", mail.recipient_ids[1])
        async with store.transaction() as tx:
            taken, places = await waiting.cancel(tx, [Place(lane_id)], now=now, count_max=10)
        assert {one.recipient_id for one in taken} == {mail.recipient_ids[0], mail.recipient_ids[2]}
        assert places == [Place(lane_id, now, mail.recipient_ids[2])]
    async with store.transaction() as tx:
        assert (await waiting.cancel(tx, places, now=now, count_max=10))[0] == []
        taken, _ = await waiting.cancel(tx, [Place(lane_id)], now=now, count_max=10)
    assert [one.recipient_id for one in taken] == [mail.recipient_ids[1]]


async def test_a_pass_goes_on_where_it_was(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    first, second = await queueroom.lane(), await queueroom.lane()
    for lane_id in (first, second):
        await queueroom.mail(lane_id, 5)
    places, counts = [Place(first), Place(second)], []
    for _ in range(4):
        async with store.transaction() as tx:
            taken, places = await waiting.cancel(tx, places, now=clock.now(), count_max=3)
        counts.append(len(taken))
    assert counts == [3, 3, 3, 1]


async def test_nobody_leases_a_lane_while_a_session_is_taken_out_of_it(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id)
    lease = "SELECT FROM lane WHERE lane_id = $1 FOR NO KEY UPDATE SKIP LOCKED"
    async with store.transaction() as tx:
        taken = await waiting.take_session(
            tx, queueroom.project_id, mail.message_id, RecipientStatus.HELD,
            now=clock.now(), is_patient=True, count_max=9,
        )  # fmt: skip
        assert await queueroom.fetch(lease, lane_id) == []
    assert [one.may_repeat for one in taken] == [False]
    assert await queueroom.fetch(lease, lane_id) == [{}]


async def test_a_session_waits_for_a_lease_that_is_being_made(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id)

    async def take() -> int:
        async with store.transaction() as tx:
            taken = await waiting.take_session(
                tx, queueroom.project_id, mail.message_id, RecipientStatus.HELD,
                now=clock.now(), is_patient=True, count_max=9,
            )  # fmt: skip
            return len(taken)

    async with asyncio.TaskGroup() as group, asyncio.timeout(WAIT_S):
        async with store.transaction() as leasing:
            until = clock.now() + timedelta(minutes=1)
            await leasing.execute(
                "UPDATE lane SET owner = $2, lease_until = $3 WHERE lane_id = $1", lane_id, queueroom.new_id(), until
            )
            taking = group.create_task(take())
            await wait_blocked(store)
        assert await taking == 0, "it may be under way now"


async def test_a_flush_is_not_undone_by_a_release_that_did_not_see_it(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    """The release has read the queue's head when the flush comes; the flush waits and has the last word."""
    later = clock.now() + timedelta(minutes=5)
    lane_id = await queueroom.lane()
    await queueroom.mail(lane_id, due_at=later, attempt=1)

    async def flush() -> int:
        async with store.transaction() as tx:
            return await waiting.flush(tx, [lane_id], now=clock.now(), count_max=9)

    async with asyncio.TaskGroup() as group, asyncio.timeout(WAIT_S):
        async with store.transaction() as release:
            await release.fetch("SELECT FROM lane WHERE lane_id = $1 FOR UPDATE", lane_id)
            await release.execute("UPDATE lane SET next_due_at = $2 WHERE lane_id = $1", lane_id, later)
            flushing = group.create_task(flush())
            await wait_blocked(store)
        assert await flushing == 1
    assert (await queueroom.lane_row(lane_id))["next_due_at"] == clock.now()


async def test_held_mail_whose_lane_is_gone_goes_into_one_of_its_campaign(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    made = {name: await queueroom.lane(campaign=name) for name in ("autumn", "", "spring")}
    for campaign, chosen in (("spring", "spring"), ("summer", ""), ("", "")):
        mail = await queueroom.mail(None, status="held", reason=waiting.OPERATOR)
        await queueroom.execute("UPDATE message SET campaign = $2 WHERE message_id = $1", mail.message_id, campaign)
        async with store.transaction() as tx:
            (taken,) = await waiting.release_session(
                tx, queueroom.project_id, mail.message_id, [waiting.OPERATOR], now=clock.now(), count_max=9
            )
        assert taken.lane_id == made[chosen]


async def test_the_mail_of_one_domain_of_one_project_is_counted_and_found(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    mail = await mailroom.mail(shop, ["ann@a.example", "bob@a.example", "cid@c.example"])
    await mailroom.mail(other, ["ann@a.example"])
    await mailroom.lane("empty.example", project_id=shop)
    lane_ids = sorted(mail.lane_ids.values())
    async with store.transaction() as tx:
        counts = [await waiting.count_of_domain(tx, shop, SENDER_DOMAIN, count_max=count) for count in (2, 9)]
        assert counts == [2, 3]
        assert await waiting.count_of_domain(tx, shop, "news.example", count_max=9) == 0
        assert await waiting.lanes_of_domain(tx, shop, SENDER_DOMAIN, after=0, count_max=9) == lane_ids
        assert await waiting.lanes_of_domain(tx, shop, SENDER_DOMAIN, after=0, count_max=1) == lane_ids[:1]
        assert await waiting.lanes_of_domain(tx, shop, SENDER_DOMAIN, after=lane_ids[0], count_max=9) == lane_ids[1:]


async def test_only_what_is_held_for_one_of_the_reasons_is_released(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    await queueroom.lane()
    for reason in (waiting.OPERATOR, waiting.CONTENT, waiting.INTERNAL):
        mail = await queueroom.mail(None, status="held", reason=reason)
        for asked in ([waiting.OPERATOR], waiting.PARKED):
            async with store.transaction() as tx:
                taken = await waiting.release_session(
                    tx, queueroom.project_id, mail.message_id, asked, now=clock.now(), count_max=9
                )
            assert [one.reason_before for one in taken] == ([reason] if reason in asked else []), (reason, asked)
