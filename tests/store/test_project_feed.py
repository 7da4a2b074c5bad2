"""One project's events: all of its own and nothing else, however many of others lie between."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import EventKind
from outrider.store import events, project_feed
from outrider.store.events import Cursor, Event, NewEvent
from outrider.store.pool import Row, Store, Tx
from outrider.store.project_feed import Position
from outrider.testing.clock import EPOCH, FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom

OURS, THEIRS = UUID(int=1), UUID(int=2)
START = Position(Cursor(), EPOCH)
FILL = """
    INSERT INTO event (at, project_id, message_id, kind, reason)
    SELECT $1::timestamptz + number * interval '1 second', $2, gen_random_uuid(), 'deferred', 'theirs'
      FROM generate_series(1, $3::int) AS number"""


def happened(clock: FakeClock, project_id: UUID, reason: str, kind: EventKind = EventKind.DEFERRED) -> NewEvent:
    return NewEvent(
        at=clock.now(),
        project_id=project_id,
        message_id=UUID(int=3),
        recipient_id=None,
        kind=kind,
        reason=reason,
        facts={"dialogue": "long", "host": "mx.example"},
    )


async def append(store: Store, *written: NewEvent) -> None:
    async with store.transaction() as tx:
        await events.append(tx, written)


async def read_all(
    store: Store, *, count_max: int = 2, looked_at_max: int = 3, start: Position = START, **more: object
) -> list[Event]:
    """Read our project's events page by page, to the end."""
    found: list[Event] = []
    position, is_end = start, False
    while not is_end:
        async with store.transaction() as tx:
            page = await project_feed.page(
                tx,
                OURS,
                position,
                count_max=count_max,
                looked_at_max=looked_at_max,
                **more,  # type: ignore[arg-type]
            )
        assert len(page.events) <= count_max
        found += page.events
        assert page.is_end or page.position > position
        position, is_end = page.position, page.is_end
    return found


@pytest.mark.parametrize("looked_at_max", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count_max", [1, 2, 100])
async def test_any_cut_gives_the_same(store: Store, clock: FakeClock, looked_at_max: int, count_max: int) -> None:
    plan = "otttotoootttttto"
    await append(store, *(happened(clock, OURS if who == "o" else THEIRS, str(at)) for at, who in enumerate(plan)))
    found = await read_all(store, count_max=count_max, looked_at_max=looked_at_max)
    assert [one.reason for one in found] == [str(at) for at, who in enumerate(plan) if who == "o"]
    assert {one.project_id for one in found} == {OURS}
    assert found[0].facts == {"host": "mx.example"}


async def test_only_some_kinds(store: Store, clock: FakeClock) -> None:
    kinds = [EventKind.BOUNCED, EventKind.DEFERRED, EventKind.BOUNCED]
    await append(store, *(happened(clock, OURS, "", kind) for kind in kinds))
    assert len(await read_all(store, kinds=[EventKind.BOUNCED])) == 2


@pytest.mark.parametrize("looked_at_max", [1, 2, 100])
async def test_what_happened_before_an_instant_is_passed_over_by_all_pages(
    store: Store, clock: FakeClock, looked_at_max: int
) -> None:
    for number in range(6):
        clock.advance(60)
        await append(store, happened(clock, OURS, str(number)), happened(clock, THEIRS, "theirs"))
    late = msgspec.structs.replace(happened(clock, OURS, "written late"), at=EPOCH)
    await append(store, late)
    since = clock.now() - timedelta(seconds=120)
    found = await read_all(store, looked_at_max=looked_at_max, start=Position(Cursor(), since, since))
    assert [one.reason for one in found] == ["3", "4", "5"]


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_since_an_instant_does_not_look_through_its_day(store: Store, clock: FakeClock, plan: str) -> None:
    async with store.transaction() as tx:
        await tx.execute(FILL, clock.now(), THEIRS, 30_000)
    clock.advance(30_000)
    await append(store, happened(clock, OURS, "ours"))
    start = Position(Cursor(), clock.now(), clock.now())
    async with store.transaction() as tx:
        await tx.execute("ANALYZE event")
        await tx.execute(f"SET LOCAL plan_cache_mode = {plan}")
        page = await project_feed.page(Explained(tx, plans := []), OURS, start, count_max=10, looked_at_max=1000)
    assert (list(page.events), page.is_end) == ([], False)
    assert 0 < read_count(plans[0]) <= 1000
    found = await read_all(store, count_max=10, looked_at_max=20_000, start=start)
    assert [one.reason for one in found] == ["ours"]


class Explained(Tx):
    """A transaction that notes the plan of each statement."""

    def __init__(self, tx: Tx, plans: list[dict[str, Any]]) -> None:
        super().__init__(tx._connection)
        self.plans = plans

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Row]:
        (row,) = await super().fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
        self.plans.append(msgspec.json.decode(row["QUERY PLAN"])[0]["Plan"])
        return await super().fetch(sql, *arguments)


def read_count(plan: dict[str, Any]) -> int:
    """Return how many events were read, those that a filter threw away too."""
    own = 0
    if "Relation Name" in plan:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return int(own) + sum(read_count(below) for below in plan.get("Plans", ()))


async def test_a_late_commit_is_never_skipped_nor_is_its_news(store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        tail = await project_feed.tail(tx, now=clock.now())
    async with asyncio.timeout(WAIT_S), store.transaction() as late:
        await events.append(late, [happened(clock, OURS, "late")])
        await append(store, happened(clock, THEIRS, "early"))
        async with store.transaction() as tx:
            news = await project_feed.news(tx, tail)
        assert (news.project_ids, news.position) == (frozenset(), tail)
    async with store.transaction() as tx:
        news = await project_feed.news(tx, tail)
        assert (news.project_ids, news.is_end) == ({OURS, THEIRS}, True)
        page = await project_feed.page(tx, OURS, tail, count_max=10)
        assert [one.reason for one in page.events] == ["late"]
        assert (await project_feed.news(tx, news.position)).project_ids == frozenset()


async def test_what_is_said_of_a_mail_is_its_project_s_alone(store: Store, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()
    mail = await mailroom.mail(project_id, ["ann@a.example", "bob@b.example"])
    async with store.transaction() as tx:
        message_ids = [row["message_id"] for row in await tx.fetch("SELECT message_id FROM message")]
        recipient_ids = [row["recipient_id"] for row in await tx.fetch("SELECT recipient_id FROM recipient")]
        ours, theirs = [(project_id, one) for one in message_ids], [(THEIRS, one) for one in message_ids]
        about = await project_feed.about(tx, ours)
        assert set(about) == set(message_ids)
        wanted = [(project_id, one) for one in recipient_ids]
        assert set(await project_feed.addresses(tx, wanted)) == set(recipient_ids)
        assert await project_feed.about(tx, theirs) == {}
        assert await project_feed.addresses(tx, [(THEIRS, one) for one in recipient_ids]) == {}
    assert mail is not None
