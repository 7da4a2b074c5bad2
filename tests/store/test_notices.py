"""Notices: each project's own, newest first, seen once, mailed by whoever may send."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import EventKind, RecordState, Stream
from outrider.policy.standing import Standing
from outrider.store import domains, notices, senders
from outrider.store.domains import Domain
from outrider.store.notices import Letter, Notice
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

HOUR = timedelta(hours=1)


class Desk:
    """Makes notices and senders."""

    def __init__(self, store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
        self.store = store
        self.clock = clock
        self.mailroom = mailroom

    async def notice(self, project_id: UUID, text: str = "text") -> Notice:
        """Write a notice, an hour after the one before."""
        self.clock.advance(HOUR.total_seconds())
        made = Notice(
            notice_id=self.mailroom.new_id(),
            project_id=project_id,
            kind=EventKind.DOMAIN_FAILED,
            subject="subject",
            text=text,
            at=self.clock.now(),
        )
        async with self.store.transaction() as tx:
            await notices.insert(tx, made)
        return made

    async def sender(self, project_id: UUID, name: str, stream: Stream | None = None) -> UUID:
        """Give the project a sender at a verified domain; return the domain."""
        domain_id, now = self.mailroom.new_id(), self.clock.now()
        async with self.store.transaction() as tx:
            await domains.insert(tx, Domain(domain_id, project_id, name, now, now, stream=stream))
            await senders.insert(
                tx,
                sender_id=self.mailroom.new_id(),
                project_id=project_id,
                domain_id=domain_id,
                address=f"us@{name}",
                address_key=f"us@{name}",
                name="",
                now=now,
            )
        return domain_id

    async def unmailed(self, since: timedelta = 100 * HOUR) -> list[Letter]:
        """Return what can be mailed."""
        async with self.store.transaction() as tx:
            return list(await notices.unmailed(tx, since=self.clock.now() - since, besides=set(), count_max=10))


@pytest.fixture
def desk(store: Store, clock: FakeClock, mailroom: Mailroom) -> Desk:
    return Desk(store, clock, mailroom)


async def test_a_project_sees_its_own_newest_first_until_it_has_seen_them(
    desk: Desk, store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    one, other = await mailroom.project("one"), await mailroom.project("two")
    first, second, _ = await desk.notice(one), await desk.notice(one), await desk.notice(other)
    async with store.transaction() as tx:
        assert await notices.of_project(tx, one, with_seen=False, count_max=10) == [second, first]
        assert await notices.of_project(tx, one, with_seen=False, count_max=1) == [second]
        assert not await notices.see(tx, other, first.notice_id, now=clock.now())
        assert await notices.see(tx, one, first.notice_id, now=clock.now())
        assert await notices.see(tx, one, first.notice_id, now=clock.now() + HOUR), "safe twice"
        assert await notices.of_project(tx, one, with_seen=False, count_max=10) == [second]
        assert [n.seen_at for n in await notices.of_project(tx, one, with_seen=True, count_max=10)] == [
            None,
            clock.now(),
        ]
        assert await notices.see_all(tx, one, now=clock.now()) == 1
        assert await notices.see_all(tx, one, now=clock.now()) == 0
        assert len(await notices.of_project(tx, other, with_seen=False, count_max=10)) == 1


async def test_a_notice_is_mailed_by_a_sender_that_may_send_to_the_address_given(
    desk: Desk, store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id = await mailroom.project("one")
    notice = await desk.notice(project_id)
    await desk.sender(project_id, "news.example", Stream.MARKETING)
    async with store.transaction() as tx:
        assert await notices.address_of(tx, project_id) == ""
        await notices.set_address(tx, project_id, "ops@corp.example")
        assert await notices.address_of(tx, project_id) == "ops@corp.example"
    assert await desk.unmailed() == [], "marketing alone is no way for it"
    domain_id = await desk.sender(project_id, "shop.example")
    assert await desk.unmailed() == [Letter(notice, "us@shop.example", ("ops@corp.example",))]
    clock.advance(HOUR.total_seconds())
    assert await desk.unmailed(HOUR / 2) == [], "too old"
    stopped = Standing(state=RecordState.FAILED, checked_at=clock.now(), stopped_at=clock.now(), is_proven=True)
    async with store.transaction() as tx:
        await domains.stand(tx, project_id, domain_id, stopped, check_due_at=clock.now())
    assert await desk.unmailed() == []
    passed = Standing(state=RecordState.PASSED, checked_at=clock.now(), is_proven=True)
    async with store.transaction() as tx:
        await domains.stand(tx, project_id, domain_id, passed, check_due_at=clock.now())
        await notices.mark_mailed(tx, project_id, notice.notice_id, now=clock.now())
    assert await desk.unmailed() == []


async def test_what_a_project_was_told_lately_and_has_not_seen_is_known(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    desk, shop, other = Desk(store, clock, mailroom), await mailroom.project("shop"), await mailroom.project("other")
    made = await desk.notice(shop)
    before, kind = made.at - HOUR, EventKind.DOMAIN_FAILED
    async with store.transaction() as tx:
        assert await notices.is_told(tx, shop, kind, since=before)
        assert not await notices.is_told(tx, other, kind, since=before)
        assert not await notices.is_told(tx, shop, EventKind.HELD, since=before)
        assert not await notices.is_told(tx, shop, kind, since=made.at)
        await notices.see(tx, shop, made.notice_id, now=clock.now())
        assert not await notices.is_told(tx, shop, kind, since=before)


async def test_a_notice_that_names_readers_goes_to_them(desk: Desk, store: Store, mailroom: Mailroom) -> None:
    project_id = await mailroom.project("one")
    await desk.sender(project_id, "shop.example")
    unnamed = await desk.notice(project_id)  # The project has no address: it is listed, not mailed.
    readers = ("ann@corp.example", "bob@corp.example")
    named = msgspec.structs.replace(unnamed, notice_id=mailroom.new_id(), recipients=readers)
    async with store.transaction() as tx:
        await notices.insert(tx, named)
    assert await desk.unmailed() == [Letter(named, "us@shop.example", readers)]
