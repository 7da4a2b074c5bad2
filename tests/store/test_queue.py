"""The queue: each lane's head, cheap whatever waits behind it, and a fence against those who have lost their lane."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.store import queue
from outrider.store.pool import Store
from outrider.store.queue import Claim, PutBack
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mail, Mailroom

BACKLOG_COUNT = 50_000
BUFFERS_MAX = 2_000  # Four for each row read of the queue and of its recipient, and room for the planner's whims.
FILL = """
    WITH made AS (
        INSERT INTO recipient (recipient_id, message_id, project_id, address, updated_at)
        SELECT gen_random_uuid(), $1, $1, 'r' || n || '@big.example', $3 FROM generate_series(1, $4::int) AS n
     RETURNING recipient_id)
    INSERT INTO queue (recipient_id, lane_id, due_at, expires_at)
    SELECT recipient_id, $2, $3::timestamptz - random() * interval '1 h', $3 FROM made"""


@pytest.fixture
async def mail(mailroom: Mailroom) -> Mail:
    """Give a message to three lanes: two recipients in a, one in b, none of ours in c."""
    project_id = await mailroom.project()
    await mailroom.mail(project_id, ["x@c.example"])
    return await mailroom.mail(project_id, ["1@a.example", "2@b.example", "3@a.example"])


async def due(
    store: Store, clock: FakeClock, lane_ids: list[int], *, count_max: int = 100, busy: tuple[UUID, ...] = ()
) -> list[Claim]:
    async with store.transaction() as tx:
        return await queue.first_due(tx, lane_ids, now=clock.now(), busy=busy, count_max=count_max)


async def test_a_claim_tells_all_that_delivery_needs(store: Store, clock: FakeClock, mail: Mail) -> None:
    (claim,) = await due(store, clock, [mail.lane_ids["b.example"]])
    message = mail.message
    assert claim == Claim(
        recipient_id=mail.recipient_ids[1],
        lane_id=mail.lane_ids["b.example"],
        message_id=message.message_id,
        project_id=message.project_id,
        address="2@b.example",
        due_at=clock.now(),
        attempt=0,
        expires_at=message.expires_at,
    )


async def test_only_the_lanes_asked_for_are_read(store: Store, clock: FakeClock, mail: Mail) -> None:
    found = await due(store, clock, list(mail.lane_ids.values()))
    assert [claim.recipient_id for claim in found] == mail.recipient_ids
    assert await due(store, clock, []) == await due(store, clock, [999]) == []


async def test_longest_due_first_and_then_in_the_order_of_making(store: Store, clock: FakeClock, mail: Mail) -> None:
    first, second, third = mail.recipient_ids
    async with store.transaction() as tx:
        await tx.execute("UPDATE queue SET due_at = due_at - interval '1 s' WHERE recipient_id = $1", third)
    found = await due(store, clock, list(mail.lane_ids.values()))
    assert [claim.recipient_id for claim in found] == [third, first, second]


async def test_each_lane_gives_its_first_ones(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()
    mails = [await mailroom.mail(project_id, [f"{n}@a.example", f"{n}@b.example"]) for n in range(5)]
    found = await due(store, clock, list(mails[0].lane_ids.values()), count_max=2)
    assert [claim.address for claim in found] == ["0@a.example", "0@b.example", "1@a.example", "1@b.example"]


async def test_who_is_busy_is_left_out_and_makes_room_for_others(store: Store, clock: FakeClock, mail: Mail) -> None:
    first, _, third = mail.recipient_ids
    lane = [mail.lane_ids["a.example"]]
    (found,) = await due(store, clock, lane, count_max=1, busy=(first,))
    assert found.recipient_id == third
    assert await due(store, clock, lane, busy=(first, third)) == []


async def test_what_is_not_due_is_not_read(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    due_at = clock.now() + timedelta(seconds=10)
    mail = await mailroom.mail(await mailroom.project(), ["1@a.example"], due_at=due_at)
    lane = list(mail.lane_ids.values())
    clock.advance(9.999)
    assert await due(store, clock, lane) == []
    clock.advance(0.001)
    assert len(await due(store, clock, lane)) == 1


async def test_a_row_is_finished_once(store: Store, clock: FakeClock, mail: Mail) -> None:
    one, two, three = mail.recipient_ids
    async with store.transaction() as tx:
        assert await queue.finish(tx, [(one, 0), (two, 0)]) == {one, two}
    async with store.transaction() as tx:
        assert await queue.finish(tx, [(one, 0), (two, 0), (three, 0)]) == {three}
    assert await due(store, clock, list(mail.lane_ids.values())) == []


async def test_a_row_put_back_waits_with_one_more_attempt(store: Store, clock: FakeClock, mail: Mail) -> None:
    two = mail.recipient_ids[1]
    later = clock.now() + timedelta(minutes=1)
    async with store.transaction() as tx:
        assert await queue.put_back(tx, [PutBack(two, 0, later)]) == {two}
    lane = [mail.lane_ids["b.example"]]
    assert await due(store, clock, lane) == []
    clock.advance(60)
    (claim,) = await due(store, clock, lane)
    assert (claim.attempt, claim.due_at, claim.expires_at) == (1, later, mail.message.expires_at)


async def test_who_has_lost_the_lane_settles_nothing(store: Store, clock: FakeClock, mail: Mail) -> None:
    """Two owners try the same recipient: the first to settle tells the truth, the second gets nothing."""
    two, three = mail.recipient_ids[1:]
    later = clock.now() + timedelta(minutes=1)
    async with store.transaction() as tx:
        assert await queue.put_back(tx, [PutBack(two, 0, later), PutBack(three, 0, later)]) == {two, three}
    async with store.transaction() as tx:
        assert await queue.put_back(tx, [PutBack(two, 0, clock.now())]) == set()
        assert await queue.finish(tx, [(two, 0), (three, 2)]) == set()
        assert await queue.finish(tx, [(two, 1)]) == {two}
        assert await queue.put_back(tx, [PutBack(two, 1, later)]) == set()
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT due_at, attempt FROM queue WHERE recipient_id = $1", three)
    assert row is not None
    assert tuple(row.values()) == (later, 1)


async def test_a_recipient_is_queued_once(store: Store, clock: FakeClock, mail: Mail) -> None:
    row = mail.recipient_ids[0], 1, clock.now()
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await tx.execute(
                "INSERT INTO queue (recipient_id, lane_id, due_at, expires_at) VALUES ($1, $2, $3, $3)", *row
            )


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("is_analyzed", [True, False], ids=["analyzed", "statistics-missing"])
async def test_a_claim_does_not_scan_the_backlog(
    store: Store, clock: FakeClock, mailroom: Mailroom, plan: str, is_analyzed: bool
) -> None:
    project_id = await mailroom.project()
    small = await mailroom.mail(project_id, [f"a@r{number}.example" for number in range(20)])
    big = await mailroom.lane("big.example")
    lane_ids = [*small.lane_ids.values(), big]
    async with store.transaction() as tx:
        await tx.execute(FILL, project_id, big, clock.now(), BACKLOG_COUNT)
    async with store.transaction() as tx:
        if is_analyzed:
            await tx.execute("ANALYZE")
        await tx.execute(f"SET LOCAL plan_cache_mode = {plan}")
        await tx.execute(f"PREPARE head (bigint[], timestamptz, uuid[], int) AS {queue._FIRST_DUE}")
        asked = f"'{{{','.join(map(str, lane_ids))}}}', '{clock.now()}', '{{{project_id}}}', 100"
        row = await tx.fetch_row(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE head ({asked})")
    assert row is not None
    (answer,) = msgspec.json.decode(row["QUERY PLAN"])
    assert answer["Plan"]["Actual Rows"] == 120
    buffers = answer["Plan"]["Shared Hit Blocks"] + answer["Plan"]["Shared Read Blocks"]
    assert buffers < BUFFERS_MAX, row["QUERY PLAN"]
