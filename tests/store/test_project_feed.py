"""One project's events: all of its own and nothing else, however many of others lie between."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import EventKind
from outrider.store import events, project_feed
from outrider.store.events import Cursor, Event, NewEvent
from outrider.store.pool import Store
from outrider.store.project_feed import Position
from outrider.testing.clock import EPOCH, FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom

OURS, THEIRS = UUID(int=1), UUID(int=2)
START = Position(Cursor(), EPOCH)


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


async def read_all(store: Store, *, count_max: int = 2, looked_at_max: int = 3, **more: object) -> list[Event]:
    """Read our project's events page by page, to the end."""
    found: list[Event] = []
    position, is_end = START, False
    while not is_end:
        async with store.transaction() as tx:
            page = await project_feed.page(
                tx,
                OURS,
                position,
                since=EPOCH - timedelta(days=1),
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
        page = await project_feed.page(tx, OURS, tail, since=EPOCH - timedelta(days=1), count_max=10)
        assert [one.reason for one in page.events] == ["late"]
        assert (await project_feed.news(tx, news.position)).project_ids == frozenset()


async def test_what_is_said_of_a_mail_is_its_project_s_alone(store: Store, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()
    mail = await mailroom.mail(project_id, ["ann@a.example", "bob@b.example"])
    async with store.transaction() as tx:
        message_ids = [row["message_id"] for row in await tx.fetch("SELECT message_id FROM message")]
        recipient_ids = [row["recipient_id"] for row in await tx.fetch("SELECT recipient_id FROM recipient")]
        about = await project_feed.about(tx, project_id, message_ids)
        assert set(about) == set(message_ids)
        assert set(await project_feed.addresses(tx, project_id, recipient_ids)) == set(recipient_ids)
        assert await project_feed.about(tx, THEIRS, message_ids) == {}
        assert await project_feed.addresses(tx, THEIRS, recipient_ids) == {}
    assert mail is not None
