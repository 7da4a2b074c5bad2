"""The recount: mail with random fates is counted as it happened; what is wrong is found and repaired."""

import random
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, StoreError
from outrider.base.vocab import EventKind, RecipientStatus, Stream
from outrider.engine.upkeep import ensure_partitions
from outrider.mail.verp import Signer
from outrider.services import recount
from outrider.services.leaving import Exits
from outrider.services.recount import Recounter
from outrider.services.retention import RetentionKeeper
from outrider.services.stats import Figure, Filters, Span, StatKeeper, Stats
from outrider.store import events, recipients, retention
from outrider.store import stats as figures
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.store.recipients import Record
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, EngineRoom, Journal
from outrider.testing.fates import PROJECTS, write_fates

COUNT = 600
DAY_S = 86_400.0
_SPOIL = """
    UPDATE figure_hour SET delivered = delivered + 1 WHERE project_id = $1 AND dimension = 'total' AND delivered > 0"""


@pytest.fixture
async def expected(store: Store, clock: FakeClock) -> Counter[tuple[str, str]]:
    """Mail with random fates that was counted; the clock stands after it."""
    start = clock.now()
    async with store.transaction() as tx:
        await events.ensure_partitions(tx, start.date(), 6)
    found = await write_fates(store, random.Random(9), count=COUNT, since=start)
    clock.advance(4 * 86_400)
    keeper = StatKeeper(store, clock=clock, logger=Journal().logger)
    while await keeper.count():
        pass
    return found


async def test_figures_are_what_happened(store: Store, clock: FakeClock, expected: Counter[tuple[str, str]]) -> None:
    stats = Stats(store, clock=clock)
    for unit, length in (("day", 10), ("hour", 10)):
        found: Counter[tuple[str, str]] = Counter()
        for project_id in PROJECTS:
            span = Span(unit=unit, since=clock.now() - timedelta(days=length))
            for one in await stats.read(project_id, span, group="domain"):
                found[one.name, one.metric] += one.count
        assert found == expected
    summary = await stats.summary(PROJECTS[0])
    assert summary.inbox is not None
    assert summary.inbox.deliveries == summary.delivery.delivered > 0
    assert summary.delivery.requests == sum(row.delivery.requests for row in summary.rows)
    by_campaign = await stats.summary(PROJECTS[0], filters=Filters(campaign="spring"))
    assert 0 < by_campaign.delivery.requests < summary.delivery.requests
    gmail = (await stats.summary(PROJECTS[0], filters=Filters(provider="gmail"))).delivery
    assert gmail.delivered_ratio == round(gmail.delivered / gmail.requests, 6) < 1
    for group in ("campaign", "stream"):
        parts = await stats.read(PROJECTS[0], group=group)
        assert sum(one.count for one in parts if one.metric == "opens") == summary.tracking.opens
    for group in ("provider", "ip", "template", "tag"):
        names = {one.name for one in await stats.read(PROJECTS[0], group=group)}
        assert len(names) == {"provider": 2, "ip": 2, "template": 1, "tag": 3}[group], names


async def test_a_recount_finds_and_repairs(store: Store, clock: FakeClock, expected: Counter[tuple[str, str]]) -> None:
    recounter = Recounter(store, clock=clock)
    since = clock.now() - timedelta(days=6)
    assert (await recounter.recount(since)).differences == []
    async with store.transaction() as tx:
        spoiled = await tx.execute(_SPOIL, PROJECTS[0])
    found = await recounter.recount(since)
    assert len(found.differences) == spoiled > 0
    assert {(one.unit, one.stored - one.counted) for one in found.differences} == {("hour", 1)}
    assert not found.is_repaired
    assert (await recounter.recount(since, is_repairing=True)).is_repaired
    assert (await recounter.recount(since)).differences == []
    assert sum(expected.values())


async def test_what_is_not_counted_yet_is_no_difference(
    store: Store, clock: FakeClock, expected: Counter[tuple[str, str]]
) -> None:
    assert expected
    async with store.transaction() as tx:
        happened = NewEvent(clock.now() - timedelta(days=2), PROJECTS[0], PROJECTS[0], None, EventKind.COMPLAINED)
        await events.append(tx, [happened])
    assert (await Recounter(store, clock=clock).recount()).differences == []


async def test_a_time_that_cannot_be_counted_is_refused(store: Store, clock: FakeClock) -> None:
    recounter = Recounter(store, clock=clock)
    for since in (clock.now() + timedelta(days=2), clock.now() - timedelta(days=500)):
        with pytest.raises(CallerError) as caught:
            await recounter.recount(since)
        assert caught.value.field == "since"


async def test_an_open_before_its_delivery_is_written_stays_as_it_was_counted(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    message_id = await room.send("ann@a.example")
    recipient_id = (await of_recipients(store, message_id))[0]
    await write_afterwards(store, clock, message_id, recipient_id)  # The reader was faster than the settle.
    await count_all(store, clock)
    await write_attempt(store, clock, message_id, recipient_id, "gmail")
    await write_afterwards(store, clock, message_id, recipient_id)
    await count_all(store, clock)
    await write_attempt(store, clock, message_id, recipient_id, "yahoo")  # A re-send, by another way.
    await count_all(store, clock)
    assert await differences(store, clock) == []
    opens = {one.name: one.count for one in await read(store, clock, "provider") if one.metric == "opens"}
    assert opens == {"gmail": 1}


@pytest.mark.parametrize("days", [1, 3])
async def test_what_outlives_its_mail_is_counted_again_as_it_was(
    room: EngineRoom, store: Store, clock: FakeClock, days: int
) -> None:
    message_id = await room.send("ann@a.example", tags=("x",))
    recipient_id = (await of_recipients(store, message_id))[0]
    await write_attempt(store, clock, message_id, recipient_id, "gmail")
    clock.advance((days - 1) * DAY_S + 80_000)
    await ensure_partitions(store, clock)
    await write_afterwards(store, clock, message_id, recipient_id)
    await count_all(store, clock)
    await insert_projects(store, clock, PROJECT)
    await keep_for(store, days)
    clock.advance(40_000)
    await write_afterwards(store, clock, message_id, recipient_id)  # In the log, and not counted yet.
    await keep(store, clock)
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM message WHERE project_id = $1", PROJECT) == []
    await count_all(store, clock)
    assert await differences(store, clock) == []
    assert sum(one.count for one in await read(store, clock, "tag") if one.metric == "opens") == 2
    clock.advance(2 * days * DAY_S)
    await keep(store, clock)
    await room.send("ann@a.example")
    await keep(store, clock)
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM message_past WHERE project_id = $1", PROJECT) == []


async def test_who_leaves_by_a_link_that_outlived_its_mail_is_counted(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    message_id = await room.send("ann@a.example", stream=Stream.MARKETING, campaign="spring")
    recipient_id = (await of_recipients(store, message_id))[0]
    await write_attempt(store, clock, message_id, recipient_id, "gmail")
    await count_all(store, clock)
    await insert_projects(store, clock, PROJECT)
    await keep_for(store, 2)
    clock.advance(3 * DAY_S)
    await keep(store, clock)
    signer = Signer(b"k" * 32)
    token = signer.mint_link(recipient_id, clock.now().date())
    assert (await Exits(store, signer, clock=clock).leave(token)).has_left
    await count_all(store, clock)
    assert await differences(store, clock) == []
    assert [one.count for one in await read(store, clock, "campaign") if one.metric == "unsubscribed"] == [1]
    for _ in range(2):  # Its last day, and the days for which the log is kept.
        clock.advance(61 * DAY_S)
        await keep(store, clock)
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM message_past WHERE project_id = $1", PROJECT) == []
        assert await tx.fetch("SELECT FROM recipient_past WHERE project_id = $1", PROJECT) == []


async def keep_for(store: Store, days: int) -> None:
    async with store.transaction() as tx:
        await retention.set_days(tx, PROJECT, days)


@pytest.mark.parametrize("others_keep_days", [400, 2])
async def test_a_day_that_is_gone_stays_passed_over_when_more_is_kept_again(
    room: EngineRoom, store: Store, clock: FakeClock, others_keep_days: int
) -> None:
    message_id = await room.send("ann@a.example")
    recipient_id = (await of_recipients(store, message_id))[0]
    await write_attempt(store, clock, message_id, recipient_id, "gmail")
    await count_all(store, clock)
    await insert_projects(store, clock, PROJECT)
    clock.advance(3 * DAY_S + 3_600)
    if others_keep_days == 400:
        await keep_for(store, 2)
    await keep(store, clock, days=others_keep_days)  # Rows go, or the whole partition.
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM event WHERE project_id = $1", PROJECT) == []
    await keep_for(store, 400)
    before = await read(store, clock, "")
    recounter = Recounter(store, clock=clock)
    found = await recounter.recount(clock.now() - timedelta(days=5), is_repairing=True)
    assert (found.differences, found.is_repaired) == ([], False)
    assert await read(store, clock, "") == before != []


async def test_what_is_counted_late_is_counted(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    await room.send("ann@a.example")
    clock.advance(45 * DAY_S)  # No worker ran.
    await ensure_partitions(store, clock)
    await room.send("ann@a.example")
    await count_all(store, clock)
    recounter = Recounter(store, clock=clock)
    assert (await recounter.recount(clock.now() - timedelta(days=46))).differences == []


async def test_events_at_midnight_and_from_a_fast_clock(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    message_id = await room.send("ann@a.example")
    midnight = clock.now() + timedelta(days=1)
    instants = (midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=20))
    async with store.transaction() as tx:
        made = [NewEvent(at, PROJECT, message_id, None, EventKind.COMPLAINED) for at in instants]
        await events.append(tx, made)
    await count_all(store, clock)
    for _ in range(2):
        found = await Recounter(store, clock=clock).recount(until=midnight + timedelta(days=1))
        assert found.differences == []
        clock.advance(DAY_S)
    assert [one.count for one in await read(store, clock, "") if one.metric == "complained"] == [1, 2]


async def test_figures_that_go_while_they_are_counted_again_are_no_difference(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    await room.send("ann@a.example")
    await count_all(store, clock)
    since = clock.now()
    clock.advance(401 * DAY_S - 1)
    async with store.transaction() as tx:  # It is midnight by the keeper's clock.
        await figures.forget(tx, "day", clock.now() + timedelta(seconds=1) - timedelta(days=400))
    assert (await Recounter(store, clock=clock).recount(since, since + timedelta(days=1))).differences == []


async def test_a_repair_leaves_no_minutes_of_days_that_have_none(
    store: Store, clock: FakeClock, expected: Counter[tuple[str, str]]
) -> None:
    assert expected
    async with store.transaction() as tx:
        for unit in ("minute", "hour", "day"):
            await figures.forget(tx, unit, clock.now() + timedelta(days=9))
    clock.advance(10 * DAY_S)
    recounter = Recounter(store, clock=clock)
    assert (await recounter.recount(clock.now() - timedelta(days=16), is_repairing=True)).is_repaired
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM figure_minute WHERE project_id = ANY($1)", PROJECTS) == []
        assert await tx.fetch("SELECT FROM figure_hour WHERE project_id = ANY($1)", PROJECTS)


async def test_a_repair_reaches_all_that_differ(
    store: Store, clock: FakeClock, expected: Counter[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert expected
    monkeypatch.setattr(recount, "DIFFERENCES_COUNT_MAX", 1)
    async with store.transaction() as tx:
        for project_id in PROJECTS:
            await tx.execute(_SPOIL, project_id)
    recounter, since = Recounter(store, clock=clock), clock.now() - timedelta(days=6)
    assert (await recounter.recount(since, is_repairing=True)).is_repaired
    assert (await recounter.recount(since)).differences == []


async def test_nothing_is_forgotten_while_somebody_counts(store: Store) -> None:
    async with store.transaction() as counting:
        assert await figures.take_turn(counting)
        with pytest.raises(StoreError):
            await forget_nothing(store)
    await forget_nothing(store)


async def forget_nothing(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.execute("SET LOCAL lock_timeout = '50ms'")
        await figures.stop_counting(tx)


async def count_all(store: Store, clock: FakeClock) -> None:
    keeper = StatKeeper(store, clock=clock, logger=Journal().logger)
    while await keeper.count():
        pass


async def insert_projects(store: Store, clock: FakeClock, *project_ids: UUID) -> None:
    async with store.transaction() as tx:
        for project_id in project_ids:
            await tx.execute(
                "INSERT INTO project (project_id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                project_id,
                f"kept {project_id}",
                clock.now(),
            )


async def differences(store: Store, clock: FakeClock) -> list[object]:
    a_day = timedelta(days=1)
    return list((await Recounter(store, clock=clock).recount(clock.now() - 2 * a_day, clock.now() + a_day)).differences)


async def read(store: Store, clock: FakeClock, group: str) -> list[Figure]:
    span = Span(since=clock.now() - timedelta(days=30), until=clock.now() + timedelta(days=3))
    return list(await Stats(store, clock=clock).read(PROJECT, span, group=group))


async def keep(store: Store, clock: FakeClock, *, days: int = 400) -> None:
    async with store.transaction() as tx:
        await tx.execute("UPDATE recipient SET status = 'delivered' WHERE project_id = $1", PROJECT)
        await tx.execute("DELETE FROM queue")
    await RetentionKeeper(store, days=days, clock=clock, logger=Journal().logger).keep()
    await ensure_partitions(store, clock)


async def of_recipients(store: Store, message_id: UUID) -> list[UUID]:
    async with store.transaction() as tx:
        return [one.recipient_id for one in await recipients.of_message(tx, PROJECT, message_id)]


async def write_attempt(store: Store, clock: FakeClock, message_id: UUID, recipient_id: UUID, provider: str) -> None:
    facts = {"provider": provider, "source": "out1"}
    async with store.transaction() as tx:
        one = Record(recipient_id, RecipientStatus.DELIVERED, "", "", 1, provider=provider, source="out1")
        await recipients.record(tx, [one], now=clock.now())
        kind = EventKind.DELIVERED
        await events.append(tx, [NewEvent(clock.now(), PROJECT, message_id, recipient_id, kind, facts=facts)])


async def write_afterwards(store: Store, clock: FakeClock, message_id: UUID, recipient_id: UUID) -> None:
    async with store.transaction() as tx:
        facts = {"first": False}
        opened = NewEvent(clock.now(), PROJECT, message_id, recipient_id, EventKind.OPENED, facts=facts)
        await events.append_after(tx, [opened])
