"""Searches as callers see them: pages join, what cannot be asked is refused."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import EventKind
from outrider.services.log_search import EVER, EventSearch, Search
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, EngineRoom, submission

pytestmark = pytest.mark.newest
EVERYTHING = Search(since=EVER)


async def test_pages_join_and_tell_of_the_mail(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    search = EventSearch(store, clock=clock)
    for number in range(5):
        clock.advance(60)
        await room.send(f"u{number}@a.example", subject=f"Hi {number}", send_at=clock.now() + timedelta(hours=1))
    found, cursor = [], ""
    while True:
        page = await search.page(PROJECT, EVERYTHING, cursor=cursor, count_max=3)
        found += page.events
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert [one.subject for one in found] == [f"Hi {number}" for number in (4, 4, 3, 3, 2, 2, 1, 1, 0, 0)]
    assert [one.kind for one in found[:2]] == [EventKind.SCHEDULED, EventKind.ACCEPTED]
    assert datetime.fromisoformat(str(found[0].facts["send_at"])) == clock.now() + timedelta(hours=1)
    assert (await search.page(OTHER_PROJECT, EVERYTHING, count_max=10)).events == []
    before = await search.page(PROJECT, EVERYTHING, until=clock.now(), count_max=10)
    assert len(before.events) == 8
    since = msgspec.structs.replace(EVERYTHING, since=clock.now())
    assert len((await search.page(PROJECT, since, count_max=10)).events) == 2


async def test_mail_that_is_not_scheduled_has_no_such_event(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    await room.send("ann@a.example")
    page = await EventSearch(store, clock=clock).page(PROJECT, EVERYTHING, count_max=10)
    assert [one.kind for one in page.events] == [EventKind.ACCEPTED]


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("subject", {"subject": "a\x00b"}),
        ("q", {"words": "\ud800"}),
        ("from", {"sender": "\x00"}),
        ("list", {"list_name": "\x00"}),
        ("template", {"template_id": "\x00"}),
        ("campaign", {"campaign": "x" * 1_000_000}),
        ("metadata", {"metadata": {"a": "\x00"}}),
        ("reply", {"reply": "x" * 501}),
        ("since", {"since": datetime(2026, 1, 1)}),  # noqa: DTZ001 - that is the point.
        ("since", {"since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}),
    ],
    ids=["nul", "half", "from", "list", "template", "huge", "nul in metadata", "long", "no zone", "beyond"],
)
async def test_what_cannot_be_asked_is_refused(
    store: Store, clock: FakeClock, field: str, wanted: dict[str, Any]
) -> None:
    search = msgspec.structs.replace(EVERYTHING, **wanted)
    with pytest.raises(CallerError) as caught:
        await EventSearch(store, clock=clock).page(PROJECT, search, count_max=10)
    assert caught.value.field == field


@pytest.mark.parametrize("cursor", ["x", "1-2", "1-2-3-4", "f" * 20 + "-1-1", "ffffffffffffff-1-1"])
async def test_a_strange_cursor_is_refused(store: Store, clock: FakeClock, cursor: str) -> None:
    with pytest.raises(CallerError) as caught:
        await EventSearch(store, clock=clock).page(PROJECT, EVERYTHING, cursor=cursor, count_max=10)
    assert caught.value.field == "after"


async def test_a_cursor_of_another_project_shows_nothing_of_it(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    search = EventSearch(store, clock=clock)
    ours = await room.send("ours@a.example")
    clock.advance(60)
    await room.accept(OTHER_PROJECT, submission("theirs@a.example"))
    await room.accept(OTHER_PROJECT, submission("theirs@a.example"))
    theirs = await search.page(OTHER_PROJECT, EVERYTHING, count_max=1)
    assert theirs.next_cursor is not None
    for named in (EVERYTHING, msgspec.structs.replace(EVERYTHING, message_id=theirs.events[0].message_id)):
        page = await search.page(PROJECT, named, cursor=theirs.next_cursor, count_max=10)
        assert [one.message_id for one in page.events] == ([ours] if named.message_id is None else [])


async def test_any_instant_may_be_the_end(store: Store, clock: FakeClock) -> None:
    for until in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        page = await EventSearch(store, clock=clock).page(PROJECT, EVERYTHING, until=until, count_max=10)
        assert page.events == []
