"""Notices are read and marked, and mailed once through station 1, whoever dies in the middle."""

import asyncio
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import BusyError, CallerError, LimitReachedError, NotFoundError
from outrider.base.vocab import EventKind, Stream
from outrider.engine.submission import Accepted, Submission
from outrider.policy.quota import Quota
from outrider.services.notices import NoticeMailer, Notices
from outrider.services.quotas import Quotas
from outrider.store import notices, projects
from outrider.store.notices import Notice
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import PROJECT, SENDER, EngineRoom, running
from outrider.testing.mailroom import WAIT_S, Mailroom

pytestmark = pytest.mark.newest
OPS = "ops@corp.example"
TEXT = "- dmarc at _dmarc.shop.example: Publish it.\n\nGrüße"


@pytest.fixture
async def notice(store: Store, clock: FakeClock, mailroom: Mailroom) -> Notice:
    """Give the room's project a sender that may send, an address for notices, and one notice."""
    now = clock.now()
    made = Notice(
        notice_id=mailroom.new_id(),
        project_id=PROJECT,
        kind=EventKind.DOMAIN_FAILED,
        subject="DNS records of shop.example are gone or wrong",
        text=TEXT,
        at=now,
    )
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=now)
    await mailroom.sender(PROJECT, SENDER)
    async with store.transaction() as tx:
        await notices.set_address(tx, PROJECT, OPS)
        await notices.insert(tx, made)
    return made


def mailer_of(room: EngineRoom, accept: object = None) -> NoticeMailer:
    return NoticeMailer(room.store, accept or room.accept, clock=room.clock, logger=room.journal.logger)  # type: ignore[arg-type]


async def mails(store: Store) -> list[tuple[str, str, str]]:
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT sender, address, subject FROM message JOIN recipient USING (message_id)")
    return [tuple(row.values()) for row in rows]


async def test_a_notice_is_mailed_once_from_a_sender_of_the_project(
    room: EngineRoom, store: Store, notice: Notice, clock: FakeClock
) -> None:
    counts = await asyncio.gather(*(mailer_of(room).mail() for _ in range(3)))
    assert max(counts) == 1
    assert await mails(store) == [(SENDER, OPS, notice.subject)]
    assert await mailer_of(room).mail() == 0
    (told,) = await Notices(store, clock=clock).list(PROJECT)
    assert (told.mailed_at, told.seen_at, told.text) == (clock.now(), None, TEXT)


async def test_who_dies_between_accepting_and_writing_it_down_sends_nothing_twice(
    room: EngineRoom, store: Store, notice: Notice
) -> None:
    class Dying(Exception):
        pass

    async def accept(
        project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        await room.accept(project_id, submission, idempotency_key=idempotency_key, request_hash=request_hash)
        raise Dying

    with pytest.raises(Dying):
        await mailer_of(room, accept).mail()
    assert await mailer_of(room).mail() == 1
    assert await mails(store) == [(SENDER, OPS, notice.subject)]


async def test_one_that_cannot_be_mailed_is_listed_and_holds_up_no_other(
    room: EngineRoom, store: Store, notice: Notice, clock: FakeClock
) -> None:
    async def refuse(
        project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        assert (submission.stream, idempotency_key) == (Stream.TRANSACTIONAL, f"notice:{notice.notice_id}")
        raise CallerError("no", field="recipients")

    await mailer_of(room, refuse).mail()
    assert room.journal.count("notice_not_mailed") == 1
    assert await mailer_of(room).mail() == 0
    assert len(await Notices(store, clock=clock).list(PROJECT)) == 1


async def test_one_that_a_quota_delays_is_mailed_when_the_quota_is_there_again(
    room: EngineRoom, store: Store, notice: Notice, clock: FakeClock
) -> None:
    quotas = Quotas(store, clock=clock)
    await quotas.change(PROJECT, Quota(day=1))
    accept = room.acceptor(quotas=quotas)
    async with running(accept):
        mail = Submission(sender=SENDER, recipients=("ann@a.example",), subject="Hi", text="Hello")
        await accept(PROJECT, mail)
        mailer = mailer_of(room, accept)
        for _ in range(2):
            assert await mailer.mail() == 1, "it was tried"
        assert room.journal.count("notice_delayed") == 2
        assert [to for _, to, _ in await mails(store)] == ["ann@a.example"]
        clock.advance(timedelta(days=1).total_seconds())
        assert await mailer.mail() == 1
        assert await mailer.mail() == 0
    assert (SENDER, OPS, notice.subject) in await mails(store)
    (told,) = await Notices(store, clock=clock).list(PROJECT)
    assert told.mailed_at == clock.now()


async def test_while_we_are_busy_it_waits_for_the_next_round(
    room: EngineRoom, store: Store, notice: Notice, clock: FakeClock
) -> None:
    calls: list[str] = []

    async def busy_once(
        project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        calls.append(idempotency_key)
        if len(calls) == 1:
            raise BusyError("busy")
        return await room.accept(project_id, submission, idempotency_key=idempotency_key, request_hash=request_hash)

    async with running(mailer_of(room, busy_once)):
        async with asyncio.timeout(WAIT_S):
            while not await mails(store):
                clock.advance(1.0)
    assert calls == [f"notice:{notice.notice_id}"] * 2
    assert await mails(store) == [(SENDER, OPS, notice.subject)]


async def test_old_news_is_not_mailed(room: EngineRoom, store: Store, notice: Notice, clock: FakeClock) -> None:
    clock.advance(timedelta(days=2, seconds=1).total_seconds())
    assert await mailer_of(room).mail() == 0
    assert await Notices(store, clock=clock).list(PROJECT) == [notice]


async def test_a_project_marks_its_own_alone(
    store: Store, notice: Notice, clock: FakeClock, mailroom: Mailroom
) -> None:
    desk, other = Notices(store, clock=clock), await mailroom.project("other")
    assert await desk.list(other, with_seen=True) == []
    with pytest.raises(NotFoundError) as caught:
        await desk.see(other, notice.notice_id)
    assert caught.value.field == "notice_id"
    assert await desk.see_all(other) == 0
    await desk.see(PROJECT, notice.notice_id)
    await desk.see(PROJECT, notice.notice_id)
    assert await desk.list(PROJECT) == []
    assert [one.seen_at for one in await desk.list(PROJECT, with_seen=True)] == [clock.now()]
    assert await desk.see_all(PROJECT) == 0


async def test_the_address_is_one(store: Store, notice: Notice, clock: FakeClock, mailroom: Mailroom) -> None:
    desk, other = Notices(store, clock=clock), await mailroom.project("other")
    assert (await desk.address(PROJECT), await desk.address(other)) == (OPS, "")


async def test_fifty_that_a_quota_delays_hold_up_no_other_project(
    room: EngineRoom, store: Store, notice: Notice, clock: FakeClock, mailroom: Mailroom
) -> None:
    other, now = await mailroom.project("other"), clock.now()
    await mailroom.sender(other, "us@other.example", name="")
    async with store.transaction() as tx:
        for _ in range(50):
            await notices.insert(tx, msgspec.structs.replace(notice, notice_id=mailroom.new_id()))
        later = msgspec.structs.replace(
            notice, notice_id=mailroom.new_id(), project_id=other, at=now + timedelta(seconds=1), recipients=(OPS,)
        )
        await notices.insert(tx, later)
    tried: list[UUID] = []

    async def refuse_first(
        project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        tried.append(project_id)
        if project_id == PROJECT:
            raise LimitReachedError("used up", retry_after_s=60)
        return Accepted(None, 1)

    await mailer_of(room, refuse_first).mail()
    assert tried == [PROJECT, other]
