"""A project's mail on a real database: lists with every filter, page by page, and one message's events."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import EventKind, RecipientStatus, Stream
from outrider.services.mail import ListedView, Mail, Wanted
from outrider.store import mail_views
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, SENDER, EngineRoom


@pytest.fixture
def mail(store: Store, clock: FakeClock) -> Mail:
    return Mail(store, clock=clock)


async def listed(mail: Mail, *, limit: int = 100, **wanted: Any) -> list[ListedView]:
    """Read the list to its end."""
    found: list[ListedView] = []
    cursor = ""
    while True:
        page = await mail.page(PROJECT, Wanted(**wanted), cursor=cursor, count_max=limit)
        found += page.messages
        cursor = page.next_cursor
        if not cursor:
            return found


async def test_every_filter_finds_its_own(room: EngineRoom, mail: Mail, clock: FakeClock) -> None:
    plain = await room.send("ann@a.example")
    clock.advance(1)
    labelled = await room.send("bob@b.example", tags=("welcome", "first"), metadata={"order": "7"})
    clock.advance(1)
    campaign = await room.send("cat@c.example", stream=Stream.MARKETING, campaign="May", list_name="news")
    clock.advance(1)
    special = await room.send("dan@d.example", "Eve@E.example", subject="100% Off_ \\ Today")
    cases: list[tuple[dict[str, Any], list[UUID]]] = [
        ({}, [special, campaign, labelled, plain]),
        ({"tag": "welcome"}, [labelled]),
        ({"tag": "welc"}, []),
        ({"stream": Stream.MARKETING}, [campaign]),
        ({"campaign": "May"}, [campaign]),
        ({"campaign": "may"}, []),
        ({"sender": SENDER.upper()}, [special, campaign, labelled, plain]),
        ({"sender": "nobody@shop.example"}, []),
        ({"recipient": "EVE@e.example"}, [special]),
        ({"recipient": "eve@bücher.example"}, []),
        ({"subject": "100% off_ \\"}, [special]),
        ({"subject": "1000"}, []),
        ({"subject": "%"}, [special]),
        ({"statuses": [RecipientStatus.QUEUED]}, [special, campaign, labelled, plain]),
        ({"statuses": [RecipientStatus.DELIVERED, RecipientStatus.HELD]}, []),
        ({"tag": "welcome", "recipient": "ann@a.example"}, []),
        ({"statuses": [RecipientStatus.QUEUED], "recipient": "ann@a.example"}, [plain]),
    ]
    for wanted, expected in cases:
        assert [one.message_id for one in await listed(mail, **wanted)] == expected, wanted
    (one,) = await listed(mail, tag="first")
    assert (one.tags, one.addresses, one.counts) == (("welcome", "first"), ["bob@b.example"], {"queued": 1})
    (one,) = await listed(mail, recipient="dan@d.example")
    assert (one.addresses, one.counts) == (["dan@d.example", "Eve@E.example".replace("E.", "e.")], {"queued": 2})


async def test_pages_end_to_end_have_each_message_once(room: EngineRoom, mail: Mail, clock: FakeClock) -> None:
    sent: list[UUID] = []
    for n in range(7):
        sent.append(await room.send(f"u{n}@a.example"))
        if n % 2:
            clock.advance(0.5)  # Some share their instant.
    newest_first = [one.message_id for one in await listed(mail)]
    assert sorted(newest_first) == sorted(sent)
    for limit in (1, 2, 3, 7, 8):
        assert [one.message_id for one in await listed(mail, limit=limit)] == newest_first, limit


async def test_since_and_until_cut_the_list(room: EngineRoom, mail: Mail, clock: FakeClock) -> None:
    first = await room.send()
    clock.advance(60)
    at = clock.now()
    second = await room.send()
    assert [one.message_id for one in await listed(mail, since=at)] == [second]
    assert [one.message_id for one in await listed(mail, until=at)] == [first]
    assert await listed(mail, since=at, until=at) == []
    for bad in (datetime(2026, 1, 1), datetime(1, 1, 1, tzinfo=UTC).replace(tzinfo=_ahead())):  # noqa: DTZ001
        with pytest.raises(CallerError) as caught:
            await listed(mail, since=bad)
        assert caught.value.field == "since"


def _ahead() -> Any:
    from datetime import timezone

    return timezone(timedelta(hours=14))


async def test_a_rare_match_is_found_over_pages_that_are_bounded(
    room: EngineRoom, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_views, "LOOKED_AT_COUNT_MAX", 3)
    rare = await room.send("rare@a.example")
    for n in range(8):
        await room.send(f"u{n}@a.example")
    pages = 0
    cursor = ""
    found: list[UUID] = []
    while True:
        page = await mail.page(PROJECT, Wanted(recipient="rare@a.example"), cursor=cursor, count_max=5)
        pages += 1
        found += [one.message_id for one in page.messages]
        if not (cursor := page.next_cursor):
            break
    assert found == [rare]
    assert 3 <= pages <= 4


async def test_another_projects_mail_is_not_there(room: EngineRoom, mail: Mail) -> None:
    mine = await room.send()
    page = await mail.page(OTHER_PROJECT, Wanted(), cursor="", count_max=10)
    assert [one.message_id for one in page.messages] == []
    for call in (mail.message(OTHER_PROJECT, mine), mail.events(OTHER_PROJECT, mine, cursor="", count_max=10)):
        with pytest.raises(NotFoundError):
            await call
    assert (await mail.message(PROJECT, mine)).message_id == mine


async def test_events_come_page_by_page_with_their_recipient(room: EngineRoom, mail: Mail) -> None:
    session = await room.send("ann@a.example", "bob@b.example")
    view = await mail.message(PROJECT, session)
    assert [one.address for one in view.recipients] == ["ann@a.example", "bob@b.example"]
    whole = await mail.events(PROJECT, session, cursor="", count_max=10)
    assert [(one.kind, one.recipient) for one in whole.events] == [(EventKind.ACCEPTED, "")]
    assert whole.next_cursor == ""
    full = await mail.events(PROJECT, session, cursor="", count_max=1)
    assert full.next_cursor
    rest = await mail.events(PROJECT, session, cursor=full.next_cursor, count_max=1)
    assert (rest.events, rest.next_cursor) == ([], "")


@pytest.mark.parametrize("cursor", ["x", "-", "ffffffffffffff-" + "0" * 32, "1-2", "1-" + "g" * 32, "\x00", "1-1-1 "])
async def test_a_cursor_that_is_none_is_refused(room: EngineRoom, mail: Mail, cursor: str) -> None:
    session = await room.send()
    with pytest.raises(CallerError) as caught:
        await mail.page(PROJECT, Wanted(), cursor=cursor, count_max=1)
    assert caught.value.field == "after"
    with pytest.raises(CallerError):
        await mail.events(PROJECT, session, cursor=cursor, count_max=1)


async def test_words_that_no_database_holds_are_refused(mail: Mail) -> None:
    for field in ("tag", "subject", "campaign", "sender", "recipient"):
        given: dict[str, Any] = {field: "a\x00@b.example"}
        with pytest.raises(CallerError) as caught:
            await mail.page(PROJECT, Wanted(**given), cursor="", count_max=1)
        assert caught.value.field == field
