"""Upkeep: the event log's days are there before they come, whoever makes them, and a bad hour does no harm."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
import structlog

from outrider.base.errors import StoreError
from outrider.base.vocab import EventKind, Stream, SuppressionOrigin, SuppressionScope
from outrider.engine.upkeep import Upkeep, ensure_partitions, sweep_keys, sweep_lanes, sweep_use
from outrider.policy.suppress import EVIDENCE_LIFE
from outrider.store import events, key_use, keys, lanes, nonces, quotas, suppressions
from outrider.store.events import NewEvent
from outrider.store.key_use import KeyUse
from outrider.store.keys import ApiKey
from outrider.store.lanes import LaneKey
from outrider.store.nonces import Nonce
from outrider.store.pool import Store, Tx
from outrider.store.settings import StoreSettings
from outrider.store.suppressions import Evidence, Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom


@pytest.fixture
async def bare(database_url: str) -> AsyncIterator[Store]:
    """Give a store without partitions: those that the template has are dropped."""
    async with Store(database_url, StoreSettings()) as opened:
        async with opened.transaction() as tx:
            for day in await days_of(tx):
                await tx.execute(f"DROP TABLE event_{day}")
        yield opened


class Notes:
    """A logger that remembers, and tells when there is something to remember."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.came = asyncio.Event()
        self.logger = structlog.wrap_logger(self, processors=[self._note])

    def _note(self, _: object, __: str, event: structlog.typing.EventDict) -> tuple[tuple[()], dict[str, object]]:
        self.events.append(event["event"])
        self.came.set()
        return (), {}

    def warning(self) -> None:
        """Fulfil structlog's idea of a logger."""


async def days_of(tx: Tx) -> list[str]:
    rows = await tx.fetch("SELECT relname FROM pg_class WHERE relname ~ '^event_\\d+$' ORDER BY 1")
    return [row["relname"].removeprefix("event_") for row in rows]


async def days(store: Store) -> list[str]:
    async with store.transaction() as tx:
        return await days_of(tx)


def week(clock: FakeClock) -> list[str]:
    return [f"{clock.now() + timedelta(days=offset):%Y%m%d}" for offset in range(-1, 7)]


async def test_yesterday_and_the_week_to_come_are_there(bare: Store, clock: FakeClock) -> None:
    for _ in range(2):
        await ensure_partitions(bare, clock)
        assert await days(bare) == week(clock)


async def test_days_are_added_as_they_come_and_none_is_lost(bare: Store, clock: FakeClock) -> None:
    await ensure_partitions(bare, clock)
    first = week(clock)
    clock.advance(3 * 86_400 + 1)
    await ensure_partitions(bare, clock)
    assert await days(bare) == sorted({*first, *week(clock)})


async def test_any_number_may_do_it_at_once(bare: Store, clock: FakeClock) -> None:
    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(ensure_partitions(bare, clock) for _ in range(8)))
    assert await days(bare) == week(clock)


async def test_every_instant_of_those_days_can_be_written(bare: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    await ensure_partitions(bare, clock)
    project_id = await mailroom.project()
    start = clock.now().replace(hour=0, minute=0) - timedelta(days=1)
    instants = [start + timedelta(hours=hours) for hours in range(8 * 24)]
    async with bare.transaction() as tx:
        await events.append(tx, [NewEvent(at, project_id, project_id, None, EventKind.ACCEPTED) for at in instants])
    late = NewEvent(start + timedelta(days=8), project_id, project_id, None, EventKind.ACCEPTED)
    with pytest.raises(StoreError):
        async with bare.transaction() as tx:
            await events.append(tx, [late])


async def test_it_works_at_once_and_stops_when_asked(bare: Store, clock: FakeClock) -> None:
    notes = Notes()
    upkeep = Upkeep(bare, clock=clock, logger=notes.logger)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(upkeep.run())
        while not await days(bare):
            continue
        upkeep.stop()
    assert await days(bare) == week(clock)
    assert notes.events == []


async def test_a_database_that_is_away_is_told_and_tried_again(database_url: str, clock: FakeClock) -> None:
    notes = Notes()
    closed = Store(database_url, StoreSettings())
    upkeep = Upkeep(closed, clock=clock, logger=notes.logger)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        running = group.create_task(upkeep.run())
        await notes.came.wait()
        assert not running.done()
        upkeep.stop()
    assert notes.events == ["upkeep_delayed"]


async def test_what_ran_out_is_swept_every_time_and_what_counts_stays(store: Store, clock: FakeClock) -> None:
    soon, project_id = clock.now() + timedelta(days=1), UUID(int=1)
    kept = Suppression(
        project_id=project_id,
        address_key="ann@a.example",
        scope=SuppressionScope.ALL,
        reason="recipient.invalid",
        origin=SuppressionOrigin.REPLY,
        created_at=clock.now(),
    )
    passing = msgspec.structs.replace(kept, address_key="bob@b.example", expires_at=soon)
    old = Evidence(project_id, "ann@a.example", "recipient.full", soon - EVIDENCE_LIFE, UUID(int=2))
    young = msgspec.structs.replace(old, at=soon)
    async with store.transaction() as tx:
        await suppressions.put(tx, [kept, passing])
        await suppressions.note(tx, [old, young])
    clock.advance(86_400.001)
    upkeep = Upkeep(store, clock=clock, logger=Notes().logger)

    async def left() -> tuple[int, int]:
        async with store.transaction() as tx:
            counts = await tx.fetch("SELECT (SELECT count(*) FROM suppression), (SELECT count(*) FROM evidence)")
        return tuple(counts[0])  # type: ignore[return-value]

    assert await left() == (2, 2)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(upkeep.run())
        while await left() != (1, 1):
            continue
        upkeep.stop()
    async with store.transaction() as tx:
        assert await suppressions.of_address(tx, project_id, "ann@a.example") == [kept]
        assert await suppressions.noted(tx, [(project_id, "ann@a.example")], since=old.at) == [young]


async def test_lanes_of_campaigns_are_swept_when_none_of_their_mail_can_live(store: Store, clock: FakeClock) -> None:
    keys = [LaneKey("default", f"r{n}.example", Stream.MARKETING, UUID(int=1), "s.example", 0, "x" * n) for n in (0, 1)]
    async with store.transaction() as tx:
        await lanes.ensure(tx, keys)
        await tx.execute("UPDATE lane SET lease_until = $1", clock.now())
    for days_on, left_count in ((7.0, 2), (0.001, 1)):
        clock.advance(days_on * 86_400)
        assert not await sweep_lanes(store, clock)
        async with store.transaction() as tx:
            assert len(await tx.fetch("SELECT FROM lane")) == left_count


async def test_nonces_and_counts_go_when_they_mean_nothing(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    """A nonce stays as long as the call it came with could be made again, by clocks five minutes apart."""
    now, project_id = clock.now(), await mailroom.project()
    ages = {"past": timedelta(seconds=601), "needed": timedelta(seconds=599), "ahead": timedelta(seconds=-300)}
    async with store.transaction() as tx:
        await nonces.take(tx, [Nonce("a", name, now - age) for name, age in ages.items()])
        await key_use.write(tx, [KeyUse(name, now - age, 1) for name, age in ages.items()], writer="one")
        for days in (0, 101):
            today = (now - timedelta(days=days)).date()
            await quotas.count(tx, {project_id: 1}, today=today, writer="one")
    assert not await sweep_use(store, clock)
    async with store.transaction() as tx:
        again = await nonces.take(tx, [Nonce("a", name, now) for name in ages])
        counts = await tx.fetch("SELECT access_key_id FROM key_use")
        days_left = await tx.fetch("SELECT day FROM quota_use")
    assert again == {("a", "past")}
    assert sorted(row["access_key_id"] for row in counts) == ["ahead", "needed"]
    assert [row["day"] for row in days_left] == [now.date()]


async def test_a_revoked_key_is_listed_for_a_hundred_days(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id, now = await mailroom.project(), clock.now()
    async with store.transaction() as tx:
        for name in ("a" * 32, "b" * 32):
            await keys.insert(tx, ApiKey(name, project_id, bytes(32), name, now))
        await keys.revoke(tx, project_id, "a" * 32, now=now)
    clock.advance(timedelta(days=100).total_seconds())
    for expected in (2, 1):
        assert not await sweep_keys(store, clock)
        async with store.transaction() as tx:
            assert len(await keys.of_project(tx, project_id)) == expected
        clock.advance(1.0)
