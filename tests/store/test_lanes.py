"""Lanes: leased by one, transactional first, given back with the truth of their queue. Races: test_lanes_race.py."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from outrider.base.vocab import Stream, WaitKind
from outrider.store import lanes
from outrider.store.lanes import WAKE_CHANNEL, GivenBack, Lane, LaneKey, Pause, Share
from outrider.store.pool import Row, Store, Tx
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import LANE_PROJECT, POOL, WAIT_S, Mailroom, wait_blocked

LEASE = timedelta(seconds=30)
FILL = """
    INSERT INTO lane (pool, route, stream, project_id, sender_domain, next_due_at)
    SELECT 'default', 'm' || n || '.example', 'marketing', $3, 'shop.example', $1::timestamptz - n * interval '1 s'
      FROM generate_series(1, $2::int) AS n"""


async def lease_both(
    tx: Tx, clock: FakeClock, *, owner: UUID, count_max: int, pools: Sequence[str] = (POOL,), share: Share | None = None
) -> list[Lane]:
    """Lease transactional lanes, then marketing ones, as the engine does."""
    now = clock.now()
    found: list[Lane] = []
    for stream in Stream:
        free_count = count_max - len(found)
        found += await lanes.lease(
            tx,
            stream,
            pools=pools,
            owner=owner,
            now=now,
            lease_until=now + LEASE,
            count_max=free_count,
            share=share,
        )
    return found


def back(lane_ids: Iterable[int], pause: Pause | None = None) -> list[GivenBack]:
    return [GivenBack(lane_id, pause=pause) for lane_id in lane_ids]


class Node:
    """One process that leases, by the test's clock."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock, self.owner = store, clock, uuid4()

    async def lease(self, count_max: int = 100, tx: Tx | None = None, share: Share | None = None) -> list[Lane]:
        if tx is None:
            async with self.store.transaction() as tx:
                return await self.lease(count_max, tx, share)
        return await lease_both(tx, self.clock, owner=self.owner, count_max=count_max, share=share)

    async def lease_ids(self, count_max: int = 100, share: Share | None = None) -> list[int]:
        return [lane.lane_id for lane in await self.lease(count_max, share=share)]

    async def renew(self, lane_ids: Sequence[int]) -> set[int]:
        async with self.store.transaction() as tx:
            return await lanes.renew(tx, self.owner, lane_ids, lease_until=self.clock.now() + LEASE)

    async def release(self, lane_ids: Sequence[int], pause: Pause | None = None) -> datetime | None:
        async with self.store.transaction() as tx:
            return await lanes.release(tx, self.owner, back(lane_ids, pause), now=self.clock.now())


@pytest.fixture
def node(store: Store, clock: FakeClock) -> Node:
    return Node(store, clock)


@pytest.fixture
def other(store: Store, clock: FakeClock) -> Node:
    return Node(store, clock)


@pytest.fixture
async def project_id(mailroom: Mailroom) -> UUID:
    return await mailroom.project()


async def due_lanes(mailroom: Mailroom, clock: FakeClock, count: int) -> list[int]:
    """Make lanes with one recipient each, the first due longest; return their ids, not in the order of due time."""
    project_id = await mailroom.project()
    found = []
    for number in range(count):
        due_at = clock.now() - timedelta(seconds=(number * 7) % count + 1)
        mail = await mailroom.mail(project_id, [f"a@r{number}.example"], due_at=due_at)
        found.append((due_at, *mail.lane_ids.values()))
    return [lane_id for _, lane_id in sorted(found)]


async def next_due(store: Store, lane_id: int) -> datetime | None:
    """Return when the lane is due, None if it sleeps."""
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT next_due_at FROM lane WHERE lane_id = $1", lane_id)
    assert row is not None
    due_at: datetime = row["next_due_at"]
    return None if due_at.year == 9999 else due_at


async def test_a_lane_is_made_once_and_keeps_its_id(store: Store) -> None:
    keys = [
        LaneKey("a", "x.example", stream, LANE_PROJECT, "s.example", shard) for stream in Stream for shard in (0, 1)
    ]
    keys += [
        LaneKey("a", "x.example", Stream.MARKETING, LANE_PROJECT, "other.example"),
        LaneKey("a", "x.example", Stream.MARKETING, UUID(int=9), "s.example"),
    ]
    async with store.transaction() as tx:
        made = await lanes.ensure(tx, keys)
        assert await lanes.ensure(tx, keys[::-1] * 2) == made
    assert len(set(made.values())) == len(keys)


async def test_many_lanes_made_at_once_in_opposite_orders_are_the_same(store: Store) -> None:
    keys = [
        LaneKey(POOL, f"r{number}.example", Stream.TRANSACTIONAL, LANE_PROJECT, "s.example") for number in range(200)
    ]

    async def make(some: list[LaneKey]) -> dict[LaneKey, int]:
        async with store.transaction() as tx:
            return await lanes.ensure(tx, some)

    async with asyncio.timeout(WAIT_S):
        first, *others = await asyncio.gather(make(keys), make(keys[::-1]), make(keys[100:] + keys[:100]))
    assert all(found == first for found in others)


async def test_two_nodes_at_once_share_no_lane(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    made = await due_lanes(mailroom, clock, 10)
    async with asyncio.timeout(WAIT_S), store.transaction() as mine, store.transaction() as theirs:
        first = await node.lease(5, mine)
        second = await other.lease(10, theirs)
    assert [lane.lane_id for lane in first] == made[:5]
    assert [lane.lane_id for lane in second] == made[5:], "what somebody is leasing is stepped over, not waited for"
    assert await node.lease() == await other.lease() == []


async def test_longest_due_first(clock: FakeClock, mailroom: Mailroom, node: Node) -> None:
    made = await due_lanes(mailroom, clock, 20)
    assert await node.lease_ids(8) == made[:8]
    assert await node.lease_ids() == made[8:]


async def test_transactional_comes_before_thousands_of_marketing_lanes(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node, project_id: UUID
) -> None:
    async with store.transaction() as tx:
        await tx.execute(FILL, clock.now(), 5000, project_id)
    mail = await mailroom.mail(project_id, ["a@late.example"])
    leased = await node.lease(3)
    assert leased[0].lane_id == mail.lane_ids["late.example"]
    assert [lane.stream for lane in leased] == [Stream.TRANSACTIONAL, Stream.MARKETING, Stream.MARKETING]
    assert [lane.route for lane in leased[1:]] == ["m5000.example", "m4999.example"]


async def test_a_sleeping_lane_is_not_leased(clock: FakeClock, mailroom: Mailroom, node: Node) -> None:
    await mailroom.lane("empty.example")
    project_id = await mailroom.project()
    due_at = clock.now() + timedelta(seconds=10)
    mail = await mailroom.mail(project_id, ["a@later.example"], due_at=due_at)
    assert await node.lease() == []
    clock.advance(10)
    assert await node.lease_ids() == list(mail.lane_ids.values())


async def test_only_the_pools_asked_for_are_leased(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    lane_id = await mailroom.lane("a.example", pool="warm")
    now = clock.now()
    async with store.transaction() as tx:
        await lanes.touch(tx, [lane_id], due_at=now)
        for pools, count in (([], 0), (["default"], 0), (["default", "warm"], 1)):
            leased = await lease_both(tx, clock, owner=uuid4(), count_max=9, pools=pools)
            assert len(leased) == count


async def test_a_paused_lane_is_not_leased_until_its_time(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    made = await due_lanes(mailroom, clock, 1)
    assert await node.lease_ids() == made
    until = clock.now() + timedelta(seconds=60)
    assert await node.release(made, Pause(until, WaitKind.RATE, "gmail: 10/min")) == until
    async with store.transaction() as tx:
        await lanes.touch(tx, made, due_at=clock.now())
    assert await node.lease() == [], "mail that comes meanwhile does not end it"
    clock.advance(59.9)
    assert await node.lease() == []
    clock.advance(0.1)
    assert await node.lease_ids() == made


async def pause_of(store: Store, lane_id: int) -> Row:
    async with store.transaction() as tx:
        row = await tx.fetch_row(
            "SELECT provider, paused_until, paused_since, pause_kind, pause_reason, hold_id FROM lane"
            " WHERE lane_id = $1",
            lane_id,
        )
    assert row is not None
    return row


async def test_a_pause_says_since_when_it_lasts_and_ends_with_a_release_without_one(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    made = await due_lanes(mailroom, clock, 1)
    began_at = clock.now()
    for kind, since in ((WaitKind.RATE, 0), (WaitKind.RATE, 0), (WaitKind.REST, 20)):
        await node.lease()
        await node.release(made, Pause(clock.now() + timedelta(seconds=5), kind, f"said {kind}"))
        found = await pause_of(store, made[0])
        assert (found["pause_kind"], found["pause_reason"]) == (kind, f"said {kind}")
        assert found["paused_since"] == began_at + timedelta(seconds=since)
        clock.advance(10)
    await node.lease()
    async with store.transaction() as tx:
        await lanes.release(tx, node.owner, [GivenBack(made[0], "gmail")], now=clock.now())
    assert list((await pause_of(store, made[0])).values()) == ["gmail", None, None, None, None, None]
    await node.lease()
    await node.release(made)
    assert (await pause_of(store, made[0]))["provider"] == "gmail", "what is known of it stays"


async def test_a_pause_by_a_hold_that_was_lifted_meanwhile_is_none(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    made = await due_lanes(mailroom, clock, 2)
    await node.lease()
    kept, lifted = uuid4(), uuid4()
    async with store.transaction() as tx:
        await tx.execute("INSERT INTO hold VALUES ($1, 'provider', 'gmail', '', $2)", kept, clock.now())
    forever = datetime(9999, 12, 31, tzinfo=UTC)
    for lane_id, hold_id in zip(made, (kept, lifted), strict=True):
        await node.release([lane_id], Pause(forever, WaitKind.HOLD, "held", hold_id))
    assert await node.lease_ids() == [made[1]]
    assert (await pause_of(store, made[0]))["hold_id"] == kept


async def test_a_lane_given_back_goes_to_the_end_of_the_line(clock: FakeClock, mailroom: Mailroom, node: Node) -> None:
    made = await due_lanes(mailroom, clock, 3)
    served = []
    for _ in range(6):
        clock.advance(1)
        served += await node.lease_ids(1)
        await node.release(served[-1:])
    assert served == made * 2


async def test_projects_take_turns_whatever_one_of_them_has_waiting(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    big, small = await mailroom.project("big"), await mailroom.project("small")
    async with store.transaction() as tx:
        await tx.execute(FILL, clock.now(), 3000, big)
    mails = [await mailroom.mail(small, [f"a@s{n}.example"], stream=Stream.MARKETING) for n in range(3)]
    leased = await node.lease(6)
    assert sum(lane.project_id == small for lane in leased) == len(mails)
    assert sum(lane.project_id == big for lane in leased) == 3


async def test_with_more_projects_than_places_each_has_its_turn(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    projects = [UUID(int=number) for number in range(1, 41)]
    async with store.transaction() as tx:
        for project_id in projects:
            await tx.execute(FILL, clock.now(), 200, project_id)
    seen: set[UUID] = set()
    for _ in range(60):
        leased = await node.lease(5)
        assert len(leased) == len({lane.project_id for lane in leased}) == 5
        seen.update(lane.project_id for lane in leased)
    assert seen == set(projects)


async def test_an_expired_lease_is_taken_over_and_says_so(
    clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    made = await due_lanes(mailroom, clock, 2)
    assert [lane.taken_over_at for lane in await node.lease()] == [None, None]
    clock.advance(LEASE.total_seconds())
    assert await other.lease() == [], "the last instant still belongs to the owner"
    clock.advance(0.001)
    taken = await other.lease()
    assert [(lane.lane_id, lane.taken_over_at is not None) for lane in taken] == [(lane_id, True) for lane_id in made]
    assert await node.renew(made) == set()
    assert await node.release(made) is None
    assert await other.renew(made) == set(made), "what is no longer ours is left alone"


async def test_renewing_keeps_a_lane_and_tells_what_is_lost(
    clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    first, second = await due_lanes(mailroom, clock, 2)
    assert await node.lease_ids() == [first, second]
    clock.advance(20)
    assert await node.renew([first]) == {first}
    clock.advance(20)
    assert await other.lease_ids() == [second]
    assert await node.renew([first, second, 999]) == {first}


async def test_a_lane_given_back_is_nobodys_and_not_taken_over(
    clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    made = await due_lanes(mailroom, clock, 1)
    await node.lease()
    due_at = await node.release(made)
    assert due_at == clock.now(), "its mail is due; it goes to the end of the line"
    assert [lane.taken_over_at for lane in await other.lease()] == [None]


async def test_the_mark_of_a_take_over_lasts_until_what_was_due_then_is_tried(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    made = await due_lanes(mailroom, clock, 1)
    await node.lease()
    clock.advance(LEASE.total_seconds() + 1)
    (taken,) = await other.lease()
    await other.release(made)  # Without having tried anything.
    clock.advance(1)
    (again,) = await node.lease()
    assert again.taken_over_at == taken.taken_over_at is not None
    async with store.transaction() as tx:  # Tried and deferred.
        await tx.execute("UPDATE queue SET due_at = $1", clock.now())
    await node.release(made)
    assert [lane.taken_over_at for lane in await other.lease()] == [None]


async def test_release_tells_when_the_first_of_them_is_due(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node, project_id: UUID
) -> None:
    soon, late = (clock.now() + timedelta(seconds=seconds) for seconds in (5, 50))
    first = (await mailroom.mail(project_id, ["a@one.example", "b@one.example"])).lane_ids["one.example"]
    second = (await mailroom.mail(project_id, ["a@two.example"])).lane_ids["two.example"]
    empty = (await mailroom.mail(project_id, ["a@three.example"])).lane_ids["three.example"]
    assert set(await node.lease_ids()) == {first, second, empty}
    async with store.transaction() as tx:
        await tx.execute("DELETE FROM queue WHERE lane_id = $1", empty)
        await tx.execute("UPDATE queue SET due_at = $1", late)
        await tx.execute("UPDATE queue SET due_at = $1 WHERE lane_id = $2", soon, second)
    assert await node.release([empty]) is None
    assert await next_due(store, empty) is None
    assert await node.release([first, second, empty, 999]) == soon
    assert [await next_due(store, lane_id) for lane_id in (first, second)] == [late, soon]


async def test_abandoning_frees_a_dead_owners_lanes_only(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    await due_lanes(mailroom, clock, 4)
    dead, alive = await node.lease_ids(2), await other.lease_ids(2)
    async with store.transaction() as tx:
        assert await lanes.abandon(tx, node.owner, now=clock.now()) == 2
    clock.advance(0.001)
    taken = await other.lease()
    assert [(lane.lane_id, lane.taken_over_at is not None) for lane in taken] == [(lane_id, True) for lane_id in dead]
    assert await other.renew(alive) == set(alive)


async def test_a_share_takes_its_own_at_once_and_others_after_a_while(
    clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    made = set(await due_lanes(mailroom, clock, 6))
    fresh = [Share(2, number, clock.now() - timedelta(minutes=1)) for number in (0, 1)]
    assert {lane.lane_id for lane in await node.lease(share=fresh[0])} == {one for one in made if one % 2 == 0}
    assert await node.lease(share=fresh[0]) == []
    waited = Share(2, 0, clock.now())
    assert {lane.lane_id for lane in await node.lease(share=waited)} == {one for one in made if one % 2 == 1}
    assert await other.lease(share=fresh[1]) == []


async def test_a_lane_given_back_is_offered_to_whose_share_it_is_first(
    clock: FakeClock, mailroom: Mailroom, node: Node, other: Node
) -> None:
    made = await due_lanes(mailroom, clock, 2)
    (foreign,) = [one for one in made if one % 2 == 1]

    def share(number: int) -> Share:
        return Share(2, number, clock.now() - timedelta(seconds=0.2))

    assert set(await node.lease_ids(share=share(0))) == set(made), "both are long due"
    await node.release([foreign])
    assert await node.lease_ids(share=share(0)) == []
    clock.advance(0.1)
    assert await other.lease_ids(share=share(1)) == [foreign]
    await other.release([foreign])
    clock.advance(0.2)
    assert await node.lease_ids(share=share(0)) == [foreign], "nobody wanted it for a while"


async def test_giving_back_a_lane_with_mail_in_it_wakes_others(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    full, empty = await due_lanes(mailroom, clock, 2)
    await node.lease()
    async with store.transaction() as tx:
        await tx.execute("DELETE FROM queue WHERE lane_id = $1", empty)
    woken: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.timeout(WAIT_S), store.listening(lanes.WAKE_CHANNEL, woken.put_nowait):
        await node.release([empty])
        async with store.transaction() as tx:
            await tx.execute("SELECT pg_notify($1, 'marker')", lanes.WAKE_CHANNEL)
        assert await woken.get() == "marker"
        await node.release([full])
        assert await woken.get() == ""


async def test_adding_to_a_lane_lowers_its_due_time_and_never_raises_it(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    lane_id = await mailroom.lane("a.example")
    for seconds, expected in ((60, 60), (10, 10), (30, 10), (-5, -5)):
        async with store.transaction() as tx:
            await lanes.touch(tx, [lane_id], due_at=clock.now() + timedelta(seconds=seconds))
        assert await next_due(store, lane_id) == clock.now() + timedelta(seconds=expected)


async def test_an_acceptor_hides_no_lane_from_a_lease(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    made = await due_lanes(mailroom, clock, 2)
    async with asyncio.timeout(WAIT_S), store.transaction() as tx:
        await lanes.touch(tx, made, due_at=clock.now())
        assert await node.lease_ids() == made


async def test_many_acceptors_and_releases_in_opposite_orders_do_not_deadlock(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    keys = [
        LaneKey(POOL, f"r{number}.example", Stream.TRANSACTIONAL, LANE_PROJECT, "s.example") for number in range(60)
    ]
    async with store.transaction() as tx:
        made = list((await lanes.ensure(tx, keys)).values())
    orders = [made, made[::-1], made[30:] + made[:30], made[::2] + made[1::2]]

    async def accept(lane_ids: list[int]) -> None:
        async with store.transaction() as tx:
            await lanes.touch(tx, lane_ids, due_at=clock.now())

    async with asyncio.timeout(WAIT_S):
        for _ in range(8):  # A deadlock would be an error within a second.
            await asyncio.gather(*(accept(order) for order in orders))
            nodes = [Node(store, clock), Node(store, clock)]
            for node in nodes:
                assert len(await node.lease(30)) == 30
            works = [accept(order) for order in orders]
            works += [node.renew(order) for node in nodes for order in orders]
            works += [node.release(order) for node in nodes for order in orders[:2]]
            await asyncio.gather(*works)


async def test_renewing_does_not_deadlock_with_a_wake_up(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    """On disk the lanes lie the other way round than by id; whoever locks them as they lie, deadlocks."""
    made = await due_lanes(mailroom, clock, 3)
    assert made == sorted(made, reverse=True)
    for lane_id in made:
        assert await node.lease_ids(1) == [lane_id]  # Each lease writes a new row behind the others.
    made.reverse()

    async def wake() -> None:
        async with store.transaction() as tx:
            await lanes.touch(tx, made, due_at=clock.now() - timedelta(hours=1))

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group, store.transaction() as tx:
        await tx.fetch("SELECT FROM lane WHERE lane_id = $1 FOR NO KEY UPDATE", made[1])
        group.create_task(wake())
        await wait_blocked(store)
        group.create_task(node.renew(made))
        await wait_blocked(store, 2)
    assert [await next_due(store, lane_id) for lane_id in made] == [clock.now() - timedelta(hours=1)] * 3
    assert await node.renew(made) == set(made)


async def notified(store: Store, heard: list[str]) -> list[str]:
    """Return what was notified before now, by a last notification of our own."""
    async with store.transaction() as tx:
        await tx.execute("SELECT pg_notify($1, 'end')", WAKE_CHANNEL)
    async with asyncio.timeout(WAIT_S):
        while "end" not in heard:
            async with store.transaction() as tx:
                await tx.fetch("SELECT 1")
    return heard[: heard.index("end")]


@pytest.mark.parametrize(
    ("due_s", "is_kept", "expected"),
    [(0, True, [""]), (60, True, [""]), (0, False, [])],
    ids=["woken", "woken-for-later", "rolled-back"],
)
async def test_waking_sleepers_is_told_once_after_the_commit(
    store: Store, clock: FakeClock, mailroom: Mailroom, due_s: float, is_kept: bool, expected: list[str]
) -> None:
    made = [await mailroom.lane(f"{name}.example") for name in "abc"]
    heard: list[str] = []
    async with store.listening(WAKE_CHANNEL, heard.append):
        try:
            async with store.transaction() as tx:
                await lanes.touch(tx, made, due_at=clock.now() + timedelta(seconds=due_s))
                if not is_kept:
                    raise KeyError("accept failed")
        except KeyError:
            assert not is_kept
        assert await notified(store, heard) == expected


async def test_nobody_is_woken_for_a_lane_that_is_awake(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node
) -> None:
    made = await due_lanes(mailroom, clock, 3)
    leased = await node.lease_ids(1)
    heard: list[str] = []
    async with store.listening(WAKE_CHANNEL, heard.append):
        async with store.transaction() as tx:
            await lanes.touch(tx, [*made, *leased], due_at=clock.now())
        assert await notified(store, heard) == []


async def test_a_lease_looks_at_few_lanes_however_many_wait(
    store: Store, clock: FakeClock, mailroom: Mailroom, node: Node, project_id: UUID
) -> None:
    async with store.transaction() as tx:
        await tx.execute(FILL, clock.now(), 20_000, project_id)
    mail = await mailroom.mail(project_id, ["a@late.example"])
    async with store.transaction() as tx:
        await tx.execute("ANALYZE lane")
    async with store.transaction() as tx:
        leased = await node.lease(10, Explained(tx, buffers := []))
    assert leased[0].lane_id == mail.lane_ids["late.example"]
    assert len(leased) == 10
    assert len(buffers) == 4
    assert sum(buffers) < 400, "the whole table has that many"


class Explained(Tx):
    """A transaction that notes how many buffers each statement that locks or writes lanes takes."""

    def __init__(self, tx: Tx, buffers: list[int]) -> None:
        super().__init__(tx._connection)
        self.buffers = buffers

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Row]:
        await self._explain(sql, *arguments)
        return await super().fetch(sql, *arguments)

    async def execute(self, sql: str, *arguments: object) -> int:
        await self._explain(sql, *arguments)
        return await super().execute(sql, *arguments)

    async def _explain(self, sql: str, *arguments: object) -> None:
        (row,) = await super().fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
        (answer,) = msgspec.json.decode(row["QUERY PLAN"])
        self.buffers.append(answer["Plan"]["Shared Hit Blocks"] + answer["Plan"]["Shared Read Blocks"])
