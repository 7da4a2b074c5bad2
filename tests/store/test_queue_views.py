"""What is read for people: bounded counts, groups that add up, recipients of one project only."""

from datetime import timedelta

from outrider.base.vocab import RecipientStatus, WaitKind
from outrider.store import queue_views
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.queueroom import QueueRoom


async def test_a_lane_is_seen_with_all_that_keeps_it(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    until = clock.now() + timedelta(seconds=9)
    plain = await queueroom.lane()
    limited = await queueroom.lane(paused_until=until, provider="gmail", pause_kind="throttle")
    over = await queueroom.lane(paused_until=clock.now())
    leased = await queueroom.lane()
    await queueroom.lease(leased, queueroom.new_id())
    async with store.transaction() as tx:
        seen = await queue_views.lanes(tx, [plain, limited, over, leased, 10**6], now=clock.now())
    assert set(seen) == {plain, limited, over, leased}
    assert (seen[plain].project, seen[plain].is_asleep, seen[plain].is_leased, seen[plain].is_paused) == (
        "shop", True, False, False
    )  # fmt: skip
    assert (seen[limited].is_paused, seen[limited].paused_until, seen[limited].pause_kind) == (
        True, until, WaitKind.THROTTLE
    )  # fmt: skip
    assert not seen[over].is_paused
    assert (seen[leased].is_leased, seen[leased].lease_until) == (True, clock.now() + timedelta(seconds=60))


async def test_what_is_in_lanes_is_counted_by_due_and_reason(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    first, second, empty = [await queueroom.lane() for _ in range(3)]
    later = clock.now() + timedelta(minutes=1)
    await queueroom.mail(first, 3)
    await queueroom.mail(first, 2, due_at=later, reason="greylisted", reply="450", attempt=2)
    await queueroom.mail(first, 1, due_at=later, reason="full", attempt=1)
    await queueroom.mail(second, 4)
    async with store.transaction() as tx:
        groups = await queue_views.groups_of_lanes(tx, [first, second, empty], now=clock.now())
    told = {(g.lane_id, g.is_due, g.reason): (g.count, g.attempt, g.reply, g.due_at, g.is_capped) for g in groups}
    assert told == {
        (first, True, ""): (3, 0, "", clock.now(), False),
        (first, False, "greylisted"): (2, 2, "450", later, False),
        (first, False, "full"): (1, 1, "", later, False),
        (second, True, ""): (4, 0, "", clock.now(), False),
    }


async def test_counts_are_bounded(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    await queueroom.execute(
        "INSERT INTO queue SELECT gen_random_uuid(), $1, $2, 0, $2 FROM generate_series(1, 100500)",
        lane_id,
        clock.now(),
    )
    async with store.transaction() as tx:
        (group,) = await queue_views.groups_of_lanes(tx, [lane_id], now=clock.now())
        (depth,), lane_count, total_count = await queue_views.deepest(
            tx, now=clock.now(), project_id=None, provider="", route="", is_paused_only=False, count_max=5
        )
        last_id = (await tx.fetch("SELECT max(recipient_id::text)::uuid AS last FROM queue"))[0]["last"]
        before = await queue_views.due_before(tx, lane_id, clock.now(), last_id)
    assert (group.count, group.is_capped) == (depth.count, depth.is_capped) == (100_000, True)
    assert (lane_count, total_count, before) == (1, 100_000, 100_000)


async def test_the_deepest_come_first_and_filters_filter(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    other_id = await queueroom.project("other")
    later = clock.now() + timedelta(hours=1)
    small = await queueroom.lane(provider="gmail", route="gmail.example")
    big = await queueroom.lane(provider="qq", project_id=other_id, paused_until=later)
    await queueroom.lane()
    await queueroom.mail(small, 2)
    await queueroom.mail(big, 5)

    async def ids(count_max: int = 9, **filters: object) -> tuple[list[int], int, int]:
        wanted = {"project_id": None, "provider": "", "route": "", "is_paused_only": False} | filters
        async with store.transaction() as tx:
            found, lane_count, total = await queue_views.deepest(
                tx, now=clock.now(), count_max=count_max, **wanted  # type: ignore[arg-type]
            )  # fmt: skip
        return [depth.lane.lane_id for depth in found], lane_count, total

    assert await ids() == ([big, small], 2, 7)
    assert await ids(count_max=1) == ([big], 2, 7)
    assert await ids(project_id=other_id) == ([big], 1, 5)
    assert await ids(provider="gmail") == ([small], 1, 2)
    assert await ids(route="gmail.example") == ([small], 1, 2)
    assert await ids(is_paused_only=True) == ([big], 1, 5)
    assert await ids(provider="gmial") == ([], 0, 0)


async def test_recipients_are_found_in_their_project_by_id_and_by_address(
    store: Store, clock: FakeClock, queueroom: QueueRoom
) -> None:
    other_id = await queueroom.project("other")
    lane_id = await queueroom.lane(route="b.example")
    old = await queueroom.mail(None, status="delivered", reply="250 ok")
    address = old.addresses[0]
    clock.advance(60)
    new = await queueroom.mail(lane_id, 1, attempt=2)
    await queueroom.execute(
        "UPDATE recipient SET address = $1 WHERE project_id = $2 AND recipient_id = $3",
        address.upper(), queueroom.project_id, new.recipient_ids[0],
    )  # fmt: skip
    async with store.transaction() as tx:
        found = await queue_views.recipients(tx, queueroom.project_id, address, "a.example", count_max=5)
        assert [one.recipient_id for one in found] == [new.recipient_ids[0], old.recipient_ids[0]]
        assert (found[0].lane_id, found[0].due_at, found[0].attempt) == (lane_id, clock.now(), 2)
        assert (found[1].lane_id, found[1].status, found[1].reply) == (None, RecipientStatus.DELIVERED, "250 ok")
        assert await queue_views.recipients(tx, other_id, address, "a.example", count_max=5) == []
        assert await queue_views.recipient(tx, queueroom.project_id, old.recipient_ids[0]) == found[1]
        assert await queue_views.recipient(tx, other_id, old.recipient_ids[0]) is None


async def test_a_session_is_counted_by_state_and_lane(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    lane_id = await queueroom.lane()
    mail = await queueroom.mail(lane_id, 4)
    await queueroom.execute("DELETE FROM queue WHERE recipient_id = $1", mail.recipient_ids[0])
    await queueroom.execute(
        "UPDATE recipient SET status = 'delivered', reply = '250' WHERE project_id = $1 AND recipient_id = $2",
        queueroom.project_id, mail.recipient_ids[0],
    )  # fmt: skip
    async with store.transaction() as tx:
        groups = await queue_views.groups_of_session(tx, queueroom.project_id, mail.message_id, now=clock.now())
        told = {(group.status.value, group.lane_id, group.is_due, group.count) for group in groups}
        assert told == {("delivered", None, False, 1), ("queued", lane_id, True, 3)}
        assert {group.message_id for group in groups} == {mail.message_id}
        other_id = queueroom.new_id()
        assert await queue_views.groups_of_session(tx, other_id, mail.message_id, now=clock.now()) == []


async def test_nodes_and_their_gates(store: Store, clock: FakeClock, queueroom: QueueRoom) -> None:
    node_id = await queueroom.node("mta1", ("default", "marketing"))
    await queueroom.gate(node_id, "a", "gmail", connections=3, rates=["10/s"])
    await queueroom.gate(node_id, "a", "qq", connections=1)
    async with store.transaction() as tx:
        (node,) = await queue_views.nodes(tx)
        (gate,) = await queue_views.gates(tx, ["gmail"], since=clock.now())
        assert await queue_views.gates(tx, ["gmail"], since=clock.now() + timedelta(seconds=1)) == []
    assert (node.node_id, node.name, list(node.pools), node.seen_at) == (
        node_id, "mta1", ["default", "marketing"], clock.now()
    )  # fmt: skip
    assert (gate.node, gate.source, gate.state) == ("mta1", "a", {"connections": 3, "rates": ["10/s"]})
