"""The races that would lose mail: a lane is added to (`touch`) while it is given back (`release`) or deleted (`sweep`).

Every order of the statements of the two is tried, and of more actors some hundred at random; what must hold after each:
no queue row is due before its lane is, and whoever leases next finds the row.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from outrider.base.vocab import Stream
from outrider.store import intake, lanes, messages, queue
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.lanes import GivenBack, LaneGoneError
from outrider.store.messages import Body
from outrider.store.pool import Row, Store, Tx
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import LANE_PROJECT, POOL, WAIT_S, Mailroom, blocked_pids

LEASE = timedelta(seconds=30)
STREAM = Stream.TRANSACTIONAL
Work = Callable[[Tx], Awaitable[object]]
TOO_EARLY = """
    SELECT lane_id, next_due_at, due_at FROM lane JOIN queue USING (lane_id)
     WHERE greatest(due_at, paused_until, CASE WHEN owner IS NULL THEN lease_until END) < next_due_at"""


class Actor:
    """A transaction that makes its next step, a statement or the commit, when it is told to."""

    def __init__(self, store: Store, work: Work) -> None:
        self.store, self.work = store, work
        self.pid = 0
        self.is_resting = False
        self.is_done = False
        self.permits = asyncio.Semaphore(0)

    async def run(self) -> None:
        with contextlib.suppress(LaneGoneError):  # Rolled back: its caller makes the lane anew.
            async with self.store.transaction() as tx:
                row = await tx.fetch_row("SELECT pg_backend_pid() AS pid")
                assert row is not None
                self.pid = row["pid"]
                await self.work(Stepped(tx, self))
                await self.turn()
        self.is_done = True

    async def turn(self) -> None:
        """Wait until the next step is wanted."""
        self.is_resting = True
        await self.permits.acquire()
        self.is_resting = False


class Stepped(Tx):
    """A transaction that waits for its turn before each statement."""

    __slots__ = ("_actor",)

    def __init__(self, tx: Tx, actor: Actor) -> None:
        super().__init__(tx._connection)
        self._actor = actor

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Row]:
        await self._actor.turn()
        return await super().fetch(sql, *arguments)

    async def execute(self, sql: str, *arguments: object) -> int:
        await self._actor.turn()
        return await super().execute(sql, *arguments)


async def play(store: Store, works: Sequence[Work], order: Iterable[int]) -> None:
    """Let each work make its steps in this order; who waits for another's lock misses its turn. Then let all end."""
    actors = [Actor(store, work) for work in works]
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        for actor in actors:
            group.create_task(actor.run())
        await settled(store, actors)
        for number in itertools.chain(order, itertools.cycle(range(len(actors)))):
            if all(actor.is_done for actor in actors):
                return
            actor = actors[number]
            if actor.is_resting:
                actor.is_resting = False
                actor.permits.release()
                await settled(store, actors)


async def settled(store: Store, actors: Sequence[Actor]) -> None:
    """Return when each actor rests, is done or waits for a lock."""
    while busy := [actor for actor in actors if not actor.is_resting and not actor.is_done]:
        blocked = await blocked_pids(store)
        if all(actor.pid in blocked and not actor.is_resting for actor in busy):
            return


def merges(*lengths: int) -> Iterator[tuple[int, ...]]:
    """Give every order of so many steps of each actor."""
    if not any(lengths):
        yield ()
    for number, length in enumerate(lengths):
        if length:
            rest = [*lengths[:number], length - 1, *lengths[number + 1 :]]
            yield from ((number, *order) for order in merges(*rest))


class Scene:
    """Some lanes and what actors do with them."""

    def __init__(self, clock: FakeClock, mailroom: Mailroom, lane_ids: Sequence[int]) -> None:
        self.clock, self.mailroom, self.lane_ids = clock, mailroom, lane_ids

    def accept(self, due_at: datetime) -> Work:
        """Add a recipient to each lane."""
        mail, now = self._mail(due_at), self.clock.now()

        async def work(tx: Tx) -> None:
            await intake.insert(tx, [mail], now=now)
            await lanes.touch(tx, self.lane_ids, due_at=due_at)

        return work

    def lease(self, owner: UUID) -> Work:
        """Lease what is due."""
        now = self.clock.now()

        async def work(tx: Tx) -> None:
            await lanes.lease(tx, STREAM, pools=[POOL], owner=owner, now=now, lease_until=now + LEASE, count_max=100)

        return work

    def release(self, owner: UUID) -> Work:
        """Give the lanes back."""
        given = [GivenBack(lane_id) for lane_id in self.lane_ids]
        return lambda tx: lanes.release(tx, owner, given, now=self.clock.now())

    async def reset(self, store: Store, owner: UUID, rows_due_at: datetime | None) -> None:
        """Make `owner` hold the lanes, each with a recipient due at `rows_due_at` or empty."""
        async with store.transaction() as tx:
            await tx.execute("DELETE FROM queue")
            await tx.execute("UPDATE lane SET owner = NULL, lease_until = NULL, next_due_at = $1", self.clock.now())
            await self.lease(owner)(tx)
            if rows_due_at is not None:
                await intake.insert(tx, [self._mail(rows_due_at)], now=self.clock.now())

    def _mail(self, due_at: datetime) -> NewMail:
        """Return mail with a recipient in each lane."""
        message = self.mailroom.message(LANE_PROJECT, len(self.lane_ids))
        who = message.message_id, message.project_id, "ann@a.example"
        until = due_at + timedelta(days=3)
        rows = [NewRecipient(self.mailroom.new_id(), *who, lane_id, due_at, until) for lane_id in self.lane_ids]
        return NewMail(message, messages.encode_body(Body("Hello")), rows)

    async def check(self, store: Store, row_count: int) -> None:
        """See that nothing is due before its lane, and that all of it is found."""
        async with store.transaction() as tx:
            assert await tx.fetch(TOO_EARLY) == []
            await tx.execute("UPDATE lane SET lease_until = $1 WHERE owner IS NOT NULL", self.clock.now() - LEASE)
            await self.lease(uuid4())(tx)
            found = await tx.fetch("SELECT FROM queue JOIN lane USING (lane_id) WHERE owner IS NOT NULL")
            assert len(found) == row_count


@pytest.fixture
async def scene(clock: FakeClock, mailroom: Mailroom) -> Scene:
    return Scene(clock, mailroom, [await mailroom.lane(f"{name}.example") for name in "ab"])


@pytest.mark.slow
@pytest.mark.parametrize("rest_s", [None, 60.0], ids=["queue-empty", "queue-has-a-later-row"])
async def test_in_every_order_of_accept_and_release_the_row_is_found(
    store: Store, clock: FakeClock, scene: Scene, rest_s: float | None
) -> None:
    owner = uuid4()
    rest_at = None if rest_s is None else clock.now() + timedelta(seconds=rest_s)
    for order in merges(6, 3):  # Accept: queue, look, lock, wake, notify, commit. Release: lock, update, commit.
        await scene.reset(store, owner, rest_at)
        await play(store, [scene.accept(clock.now()), scene.release(owner)], order)
        await scene.check(store, 2 if rest_at is None else 4)


@pytest.mark.slow
async def test_in_every_order_of_accept_and_sweep_no_row_is_without_its_lane(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    outcomes = set()
    for order in merges(6, 3):  # Accept: queue, look, lock, wake, notify, commit. Sweep: lock, delete, commit.
        lane_id = await mailroom.lane("a.example")
        async with store.transaction() as tx:
            await tx.execute("DELETE FROM queue")
            await tx.execute("UPDATE lane SET campaign = 'over', next_due_at = 'infinity', lease_until = NULL")
        sweep: Work = partial(lanes.sweep, idle_before=clock.now(), count_max=9)
        await play(store, [Scene(clock, mailroom, [lane_id]).accept(clock.now()), sweep], order)
        async with store.transaction() as tx:
            counts = "SELECT (SELECT count(*) FROM lane) AS lane_count, (SELECT count(*) FROM queue) AS row_count"
            (row,) = await tx.fetch(counts)
            outcomes.add(tuple(row.values()))
            await tx.execute("DELETE FROM lane")
    assert outcomes == {(1, 1), (0, 0)}


@pytest.mark.slow
async def test_with_two_acceptors_a_release_and_another_lease_in_random_orders_both_rows_are_found(
    store: Store, clock: FakeClock, scene: Scene
) -> None:
    owner, chance = uuid4(), random.Random(20260101)
    for _ in range(60):
        order = [0] * 6 + [1] * 6 + [2] * 3 + [3] * 3
        chance.shuffle(order)
        await scene.reset(store, owner, None)
        works = [scene.accept(clock.now()), scene.accept(clock.now() - timedelta(seconds=1)), scene.release(owner)]
        await play(store, [*works, scene.lease(uuid4())], order)
        await scene.check(store, 4)


@pytest.mark.slow
async def test_under_load_nothing_is_left_behind(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    made = [await mailroom.lane(f"r{number}.example") for number in range(5)]
    accepted_count, accepting_count = 0, 3
    delivered: list[UUID] = []

    async def accept(chance: random.Random) -> None:
        nonlocal accepted_count, accepting_count
        for _ in range(100):
            chosen = chance.sample(made, chance.randint(1, 3))
            async with store.transaction() as tx:
                await Scene(clock, mailroom, chosen).accept(clock.now())(tx)
            accepted_count += len(chosen)
        accepting_count -= 1

    async def deliver(owner: UUID) -> None:
        while True:
            is_last = not accepting_count
            now = clock.now()
            async with store.transaction() as tx:
                leased = await lanes.lease(
                    tx, STREAM, pools=[POOL], owner=owner, now=now, lease_until=now + LEASE, count_max=2
                )
            if is_last and not leased:
                return
            lane_ids = [lane.lane_id for lane in leased]
            async with store.transaction() as tx:
                rows = await tx.fetch(
                    "SELECT recipient_id, attempt FROM queue WHERE lane_id = ANY($1::bigint[]) ORDER BY 1 LIMIT 20",
                    lane_ids,
                )
                delivered.extend(await queue.finish(tx, [(row["recipient_id"], row["attempt"]) for row in rows]))
            async with store.transaction() as tx:
                await lanes.release(tx, owner, [GivenBack(lane_id) for lane_id in lane_ids], now=clock.now())

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for seed in range(accepting_count):
            group.create_task(accept(random.Random(seed)))
        for _ in range(2):
            group.create_task(deliver(uuid4()))
    assert len(delivered) == len(set(delivered)) == accepted_count
    async with store.transaction() as tx:
        assert await tx.fetch(TOO_EARLY) == []
        assert await tx.fetch("SELECT FROM queue") == []
