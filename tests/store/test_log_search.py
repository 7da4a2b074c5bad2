"""The log searched: each filter finds its own, nothing of others; pages join; the cost of a page is bounded."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import EventKind
from outrider.store import events, intake, log_search
from outrider.store.events import NewEvent
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.log_search import Search, SearchPlace
from outrider.store.pool import Store
from outrider.testing.clock import EPOCH, FakeClock
from outrider.testing.mailroom import Mailroom
from tests.store.test_project_feed import FILL, Explained, read_count

EVERYTHING = Search(since=EPOCH)
FACTS = {
    "provider": "gmail",
    "source": "out1",
    "host": "mx1.google.example",
    "ip": "192.0.2.7",
    "tls": "TLSv1.3",
    "url": "https://shop.example/100%_off?a=1\\b",
    "agent": "Mozilla/5.0",
    "client": "Thunderbird",
    "country": "DE",
    "dialogue": "long",
}
MATCHING: list[dict[str, Any]] = [
    {},
    {"kinds": [EventKind.BOUNCED]},
    {"reason": "mailbox_full"},
    {"provider": "Gmail"},
    {"source": "out1"},
    {"remote": "MX1.google"},
    {"remote": "192.0.2.7"},
    {"tls": "1.3"},
    {"reply": "over QUOTA"},
    {"url": "100%_off"},
    {"words": "100%_off"},
    {"url": "\\b"},
    {"agent": "mozilla"},
    {"agent": "thunder"},
    {"country": "de"},
    {"recipient": "ann@a.example"},
    {"recipient": "@A.example"},
    {"sender": "@shop.example"},
    {"subject": "sale"},
    {"template_id": "t1"},
    {"campaign": "spring"},
    {"list_name": "weekly"},
    {"tag": "vip"},
    {"metadata": {"order": "7"}},
    *({"words": one} for one in ("ann@", "SALE", "quota", "mailbox_f", "a=1", "google", "192.0.2", "vip", "spring")),
    {"recipient": "ann", "subject": "sale", "kinds": [EventKind.BOUNCED], "words": "quota"},
]
OTHERS: list[dict[str, Any]] = [
    {"kinds": [EventKind.CLICKED]},
    {"reason": "mailbox"},
    {"provider": "gma"},
    {"source": "out"},
    {"remote": "192.0.3"},
    {"reply": "over_quota"},
    {"url": "100%off"},
    {"url": "\\" * 2},
    *({name: one} for one in ("%", "_", "%%", "\\%") for name in ("recipient", "sender", "subject", "reply", "agent")),
    {"country": "FR"},
    {"recipient": "dan@"},
    {"sender": "ann"},
    {"subject": "hello"},
    {"template_id": "t"},
    {"tag": "v"},
    {"metadata": {"order": "8"}},
    {"words": "_x_"},
    {"recipient": "ann", "subject": "hello"},
]


async def fill(store: Store, clock: FakeClock, mailroom: Mailroom) -> UUID:
    """Write an accepted mail to ann that bounced; return its project."""
    project_id = await mailroom.project()
    message = msgspec.structs.replace(
        mailroom.message(project_id),
        subject="Big sale",
        template_id="t1",
        campaign="spring",
        list_name="weekly",
        tags=("vip", "new"),
        metadata={"order": "7", "shop": "x"},
    )
    to = NewRecipient(
        mailroom.new_id(), message.message_id, project_id, "Ann@a.example", 1, clock.now(), message.expires_at
    )
    bounced = NewEvent(
        clock.now(),
        project_id,
        message.message_id,
        to.recipient_id,
        EventKind.BOUNCED,
        reason="mailbox_full",
        reply="552 over quota",
        facts=FACTS,
    )
    async with store.transaction() as tx:
        await intake.insert(tx, [NewMail(message, b"", [to])], now=clock.now())
        await events.append(tx, [bounced])
    return project_id


async def kinds_found(store: Store, project_id: UUID, clock: FakeClock, **wanted: Any) -> list[EventKind]:
    place = SearchPlace(clock.now(), 2**63 - 1, 2**63 - 1)
    async with store.transaction() as tx:
        search = msgspec.structs.replace(EVERYTHING, **wanted)
        found = await log_search.page(tx, project_id, search, place, count_max=100)
    assert found.next_place is None
    assert all("dialogue" not in one.facts for one in found.events)
    return [one.kind for one in found.events]


async def test_each_filter_finds_its_own(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id = await fill(store, clock, mailroom)
    other = await mailroom.project("other")
    for wanted in MATCHING:
        assert EventKind.BOUNCED in await kinds_found(store, project_id, clock, **wanted), wanted
        assert await kinds_found(store, other, clock, **wanted) == [], wanted
    for wanted in OTHERS:
        assert await kinds_found(store, project_id, clock, **wanted) == [], wanted
    whole = [EventKind.BOUNCED, EventKind.ACCEPTED]
    assert await kinds_found(store, project_id, clock, recipient="ann@") == whole
    (message_id,) = {one.message_id for one in await everything(store, clock)}
    assert await kinds_found(store, project_id, clock, message_id=message_id) == whole
    assert await kinds_found(store, project_id, clock, message_id=UUID(int=9)) == []


async def test_an_event_of_no_recipient_is_found_by_the_address_in_its_facts(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id, other = await fill(store, clock, mailroom), await mailroom.project("other")
    (message_id,) = {one.message_id for one in await everything(store, clock)}
    left = NewEvent(
        clock.now(), project_id, events.NIL, None, EventKind.UNSUBSCRIBED, facts={"address": "dan_1@a.example"}
    )
    refused = msgspec.structs.replace(left, message_id=message_id, kind=EventKind.SUPPRESSED)
    async with store.transaction() as tx:
        await events.append(tx, [left, refused])
    for wanted in ({"recipient": "dan_1@A.example"}, {"recipient": "dan"}, {"words": "DAN_1@"}):
        found = await kinds_found(store, project_id, clock, **wanted)
        assert found == [EventKind.SUPPRESSED, EventKind.UNSUBSCRIBED], wanted
        assert await kinds_found(store, other, clock, **wanted) == []
    assert await kinds_found(store, project_id, clock, recipient="dan%1@") == []
    assert await kinds_found(store, project_id, clock, recipient="ann@") == [EventKind.BOUNCED, EventKind.ACCEPTED]


async def everything(store: Store, clock: FakeClock) -> list[events.Event]:
    async with store.transaction() as tx:
        return list(await events.after(tx, events.Cursor(), count_max=100))


@pytest.mark.parametrize("looked_at_max", [1, 2, 3, 100])
@pytest.mark.parametrize("count_max", [1, 2, 100])
async def test_pages_join(
    store: Store, clock: FakeClock, mailroom: Mailroom, looked_at_max: int, count_max: int
) -> None:
    project_id = await mailroom.project()
    written = []
    for number in range(9):
        clock.advance(60 * (number % 2))  # Some at the same instant.
        written.append(NewEvent(clock.now(), project_id, UUID(int=3), None, EventKind.DEFERRED, reason=str(number % 3)))
    async with store.transaction() as tx:
        await events.append(tx, written)
    for wanted in ("", "1"):
        search = msgspec.structs.replace(EVERYTHING, reason=wanted)
        place: SearchPlace | None = SearchPlace(clock.now(), 2**63 - 1, 2**63 - 1)
        found: list[str] = []
        while place is not None:
            async with store.transaction() as tx:
                page = await log_search.page(
                    tx, project_id, search, place, count_max=count_max, looked_at_max=looked_at_max
                )
            found += [one.reason for one in page.events]
            place = page.next_place
        assert found == [one.reason for one in reversed(written) if one.reason == wanted or not wanted]


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_looks_at_so_many_and_no_more(
    store: Store, clock: FakeClock, mailroom: Mailroom, plan: str
) -> None:
    project_id = await fill(store, clock, mailroom)
    async with store.transaction() as tx:
        await tx.execute(FILL, clock.now(), UUID(int=2), 30_000)
        await tx.execute(FILL, clock.now(), project_id, 30_000)
        await tx.execute("ANALYZE event")
    clock.advance(40_000)
    place = SearchPlace(clock.now(), 2**63 - 1, 2**63 - 1)
    for wanted in ({"reason": "rare"}, {"words": "ann@"}, {"recipient": "ann@", "subject": "sale"}):
        search = msgspec.structs.replace(EVERYTHING, **wanted)
        async with store.transaction() as tx:
            await tx.execute(f"SET LOCAL plan_cache_mode = {plan}")
            plans: list[dict[str, Any]] = []
            page = await log_search.page(
                Explained(tx, plans), project_id, search, place, count_max=10, looked_at_max=1000
            )
        assert (list(page.events), page.next_place is None) == ([], False)
        assert 0 < read_count(plans[0]) <= 1_100  # An incremental sort takes a few more.
