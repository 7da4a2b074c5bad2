"""The event log: read in one order by everybody, nothing skipped, whoever commits late."""

import asyncio
from datetime import date, timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import StoreError
from outrider.base.vocab import EventKind
from outrider.store import events
from outrider.store.events import Cursor, Event, NewEvent
from outrider.store.pool import Store, StoreValueError
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom


@pytest.fixture
async def happened(clock: FakeClock, mailroom: Mailroom) -> NewEvent:
    """Give an event that has not been written."""
    return NewEvent(
        at=clock.now(),
        project_id=await mailroom.project(),
        message_id=mailroom.new_id(),
        recipient_id=mailroom.new_id(),
        kind=EventKind.DEFERRED,
        attempt=3,
        reason="greylisted",
        reply="450 4.7.1 später",
        facts={"host": "mx.example", "duration_ms": 12, "share": 0.5, "ambiguous": True},
    )


def named(event: NewEvent, reason: str) -> NewEvent:
    return msgspec.structs.replace(event, reason=reason)


async def read(store: Store, cursor: Cursor = Cursor(), *, count_max: int = 100) -> list[Event]:  # noqa: B008
    async with store.transaction() as tx:
        return list(await events.after(tx, cursor, count_max=count_max))


async def append(store: Store, *written: NewEvent) -> None:
    async with store.transaction() as tx:
        await events.append(tx, written)


def reasons(found: list[Event]) -> list[str]:
    return [event.reason for event in found]


async def test_an_event_is_read_as_it_was_written(store: Store, happened: NewEvent) -> None:
    await append(store, happened, msgspec.structs.replace(happened, recipient_id=None, facts={}))
    first, second = await read(store)
    written = msgspec.structs.asdict(happened)
    assert {name: getattr(first, name) for name in written} == written
    assert isinstance(first.facts["duration_ms"], int)
    assert first.facts["ambiguous"] is True
    assert (second.recipient_id, second.facts) == (None, {})
    assert first.cursor < second.cursor


async def test_a_cursor_goes_on_where_it_stopped(store: Store, happened: NewEvent) -> None:
    for batch in ("ab", "c", "defg"):
        await append(store, *(named(happened, letter) for letter in batch))
    seen: list[str] = []
    cursor = Cursor()
    while found := await read(store, cursor, count_max=2):
        seen += reasons(found)
        cursor = found[-1].cursor
    assert seen == list("abcdefg")


async def test_a_late_commit_with_a_lower_transaction_id_is_never_skipped(store: Store, happened: NewEvent) -> None:
    await append(store, named(happened, "before"))
    cursor = (await read(store))[-1].cursor
    async with asyncio.timeout(WAIT_S), store.transaction() as late:
        await events.append(late, [named(happened, "late")])
        await append(store, named(happened, "early"))
        assert await read(store, cursor) == [], "nothing behind a transaction that may still commit"
    found = await read(store, cursor)
    assert reasons(found) == ["late", "early"]
    assert await read(store, found[-1].cursor) == []


async def test_events_of_some_kinds_are_looked_for_page_by_page(
    store: Store, happened: NewEvent, clock: FakeClock
) -> None:
    kinds = [EventKind.DEFERRED, EventKind.DELIVERED, EventKind.DELIVERED, EventKind.BOUNCED, EventKind.DELIVERED]
    changed = msgspec.structs.replace(happened, facts={"dialogue": "> QUIT", "phase": "rcpt"})
    old = msgspec.structs.replace(changed, at=clock.now() - timedelta(hours=1))
    await append(store, old, *(msgspec.structs.replace(changed, kind=kind) for kind in kinds))
    pages: list[list[EventKind]] = []
    cursor: Cursor | None = Cursor()
    while cursor is not None:
        async with store.transaction() as tx:
            wanted = [EventKind.DEFERRED, EventKind.BOUNCED]
            found, cursor = await events.of_kinds(tx, cursor, since=clock.now(), kinds=wanted, count_max=2)
        pages.append([event.kind for event in found])
        assert all(event.facts == {"phase": "rcpt"} for event in found)
    assert pages == [[EventKind.DEFERRED], [EventKind.BOUNCED], []]
    async with store.transaction() as tx:
        at = [(old.project_id, old.message_id, old.at), (UUID(int=1), old.message_id, clock.now())]
        assert [event.at for event in await events.at(tx, at)] == [old.at], "and of that project alone"
        empty = await events.of_kinds(tx, Cursor(), since=clock.now() + timedelta(1), kinds=kinds, count_max=2)
        assert empty == ([], None)


async def test_one_that_rolls_back_holds_nobody_up(store: Store, happened: NewEvent) -> None:
    with pytest.raises(KeyError):
        await roll_back(store, happened)
    assert reasons(await read(store)) == ["early"]


async def roll_back(store: Store, happened: NewEvent) -> None:
    async with store.transaction() as late:
        await events.append(late, [named(happened, "late")])
        await append(store, named(happened, "early"))
        raise KeyError("it fails")


async def test_a_reader_holds_nobody_up(store: Store, happened: NewEvent) -> None:
    async with store.transaction() as tx:
        await events.after(tx, Cursor(), count_max=1)
        await append(store, happened)
        assert len(await read(store)) == 1


@pytest.mark.slow
async def test_many_writers_and_one_reader_lose_nothing(store: Store, happened: NewEvent) -> None:
    writer_count, event_count = 6, 25
    seen: list[Event] = []
    is_writing = True

    async def write(number: int) -> None:
        for count in range(event_count):
            async with store.transaction() as tx:
                await events.append(tx, [named(happened, f"{number}.{count}")])
                await tx.fetch("SELECT 1")  # Time for others to commit first.

    async def follow() -> None:
        cursor = Cursor()
        while True:
            is_last = not is_writing
            found = await read(store, cursor, count_max=7)
            seen.extend(found)
            cursor = found[-1].cursor if found else cursor
            if is_last and not found:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.gather(*(write(number) for number in range(writer_count)))
        is_writing = False
    assert sorted(reasons(seen)) == sorted(f"{n}.{count}" for n in range(writer_count) for count in range(event_count))
    assert [event.cursor for event in seen] == sorted(event.cursor for event in seen)


async def test_each_consumer_has_its_own_cursor(store: Store) -> None:
    async with store.transaction() as tx:
        assert await events.read_cursor(tx, "hooks") == Cursor()
        await events.move_cursor(tx, "hooks", Cursor(2**40, 7))
        await events.move_cursor(tx, "hooks", Cursor(2**40 + 1, 3))
        assert await events.read_cursor(tx, "hooks") == Cursor(2**40 + 1, 3)
        assert await events.read_cursor(tx, "reports") == Cursor()


async def test_a_messages_events_are_its_projects_alone_and_oldest_first(
    store: Store, clock: FakeClock, mailroom: Mailroom, happened: NewEvent
) -> None:
    later = msgspec.structs.replace(happened, at=clock.now() + timedelta(days=2), reason="later")
    other = msgspec.structs.replace(happened, message_id=mailroom.new_id())
    await append(store, later, other, named(happened, "first"), named(happened, "second"))

    async def found(project_id: UUID, *, count_max: int = 9, days: int = 0) -> list[str]:
        accepted_at = clock.now() + timedelta(days=days)
        async with store.transaction() as tx:
            log = await events.of_message(
                tx, project_id, happened.message_id, accepted_at=accepted_at, count_max=count_max
            )
        return reasons(list(log))

    assert await found(happened.project_id) == ["first", "second", "later"]
    assert await found(happened.project_id, count_max=2) == ["first", "second"]
    assert await found(happened.project_id, days=1) == ["first", "second", "later"], "clocks may be a day apart"
    assert await found(happened.project_id, days=2) == ["later"]
    assert await found(await mailroom.project("other")) == []


async def test_a_day_without_a_partition_is_an_error_and_harms_no_other(
    store: Store, clock: FakeClock, happened: NewEvent
) -> None:
    with pytest.raises(StoreError):
        await append(store, happened, msgspec.structs.replace(happened, at=clock.now() + timedelta(days=400)))
    await append(store, named(happened, "today"))
    assert reasons(await read(store)) == ["today"]


async def test_partitions_begin_and_end_at_midnight_utc(store: Store, clock: FakeClock, happened: NewEvent) -> None:
    day = date(2027, 3, 27)
    midnight = clock.now().replace(year=2027, month=3, day=27)
    async with store.transaction() as tx:
        await tx.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        await events.ensure_partitions(tx, day, 1)
    last = msgspec.structs.replace(happened, at=midnight + timedelta(days=1) - timedelta(microseconds=1))
    await append(store, msgspec.structs.replace(happened, at=midnight), last)
    for outside in (midnight - timedelta(microseconds=1), midnight + timedelta(days=1)):
        with pytest.raises(StoreError):
            await append(store, msgspec.structs.replace(happened, at=outside))


async def test_partitions_are_made_by_many_at_once(store: Store, happened: NewEvent) -> None:
    first = date(2028, 2, 27)  # A leap year.

    async def make(offset: int) -> None:
        async with store.transaction() as tx:
            await events.ensure_partitions(tx, first + timedelta(days=offset), 5)

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(make(offset) for offset in (0, 2, 1, 0, 3, 1)), append(store, happened))
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT relname FROM pg_class WHERE relname ~ '^event_2028\\d+$' ORDER BY 1")
    assert [row["relname"][6:] for row in rows] == [f"{first + timedelta(days=offset):%Y%m%d}" for offset in range(8)]


@pytest.mark.parametrize("text", ["nul \x00", "half \ud800"])
@pytest.mark.parametrize("place", ["reason", "reply", "fact", "fact_name"])
async def test_text_the_database_cannot_hold_is_refused_not_a_crash(
    store: Store, happened: NewEvent, place: str, text: str
) -> None:
    change: dict[str, object] = {"reason": {"reason": text}, "reply": {"reply": text}}.get(place, {})
    if place.startswith("fact"):
        change = {"facts": {text: 1} if place == "fact_name" else {"host": text}}
    with pytest.raises(StoreValueError):
        await append(store, happened, msgspec.structs.replace(happened, **change))
    await append(store, named(happened, "after"))
    assert reasons(await read(store)) == ["after"]
