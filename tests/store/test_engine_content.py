"""What follows from a verdict on content: nothing stored, a field in the header, or mail that waits to be released."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import ConflictError, ContentRefusedError
from outrider.base.vocab import ContentAction, EventKind, RecipientStatus
from outrider.engine.accept import Acceptor
from outrider.engine.control import Control, Target
from outrider.engine.kept import SCORE_FIELD, headers_of
from outrider.engine.submission import Personal, Submission
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.store import messages, notices, projects
from outrider.store.notices import Notice
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.contentbook import PASSED, ToldBook, verdict
from outrider.testing.engineroom import PROJECT, EngineRoom, OneWay, counts, running, submission
from outrider.testing.peer import Peer
from outrider.testing.templates import personal, templated

PASS, TAG, HOLD, REFUSE = ContentAction


@pytest.fixture
def book() -> ToldBook:
    return ToldBook()


@pytest.fixture
async def accept(room: EngineRoom, store: Store, book: ToldBook, clock: FakeClock) -> AsyncIterator[Acceptor]:
    """A station 1 that asks `book`."""
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    acceptor = room.acceptor(contents=book)
    async with running(acceptor):
        yield acceptor
    assert book.is_closed


@pytest.fixture
def control(store: Store, clock: FakeClock) -> Control:
    return Control(store, clock=clock, random_bits=random.Random(1).getrandbits)


async def hold(accept: Acceptor, book: ToldBook, *to: str, said: ContentAction = HOLD) -> UUID:
    """Accept a mail that is held, and return its session."""
    book.verdict = verdict(said)
    accepted = await accept(PROJECT, submission(*to))
    assert accepted.session_id is not None
    return accepted.session_id


async def told(store: Store) -> list[Notice]:
    async with store.transaction() as tx:
        return list(await notices.of_project(tx, PROJECT, with_seen=True, count_max=10))


async def test_what_is_refused_is_told_to_its_caller_and_not_stored(
    accept: Acceptor, book: ToldBook, store: Store
) -> None:
    book.verdict = verdict(REFUSE, sentence="The content looks like junk to the filter: score 15 of 15.")
    with pytest.raises(ContentRefusedError) as caught:
        await accept(PROJECT, submission("ann@a.example"), idempotency_key="k1")
    assert (caught.value.field, caught.value.ret_code) == ("content", 215392)
    assert caught.value.public == "The content looks like junk to the filter: score 15 of 15."
    assert set((await counts(store)).values()) == {0}
    book.verdict = PASSED
    accepted = await accept(PROJECT, submission("ann@a.example"), idempotency_key="k1")
    assert not accepted.is_repeat, "the key is not used up"
    book.verdict = verdict(REFUSE)
    assert (await accept(PROJECT, submission("ann@a.example"), idempotency_key="k1")).is_repeat


async def test_what_passes_says_nothing_of_it(accept: Acceptor, book: ToldBook, room: EngineRoom) -> None:
    accepted = await accept(PROJECT, submission("ann@a.example", "bob@b.example", from_name="Ann"))
    assert accepted.session_id is not None
    (event,) = await room.events(accepted.session_id)
    assert event.facts == {"recipient_count": 2, "rejected_count": 0}
    (asked,) = book.asked
    assert (asked.sender.text, asked.from_name, asked.to.text) == ("noreply@shop.example", "Ann", "ann@a.example")
    assert (asked.subject, asked.text, asked.html) == ("Hello", "Hello, world.\n", None)


async def test_of_a_template_the_first_accepted_recipients_mail_is_judged(accept: Acceptor, book: ToldBook) -> None:
    given = submission(
        "ann@a.example",
        "bob@b.example",
        "cat@c.example",
        subject="",
        text=None,
        templated=templated(html="<a href='{{ unsubscribe_link }}'>{{ code }}</a>"),
        personal=(Personal(), personal(name="Bob", code="42"), personal(name="Cat", code="43")),
    )
    accepted = await accept(PROJECT, given)
    assert (accepted.recipient_count, len(accepted.rejected)) == (2, 1), "Ann lacks a variable"
    (asked,) = book.asked
    assert (asked.to.text, asked.subject, asked.text) == ("bob@b.example", "Hi Bob", "42")
    assert asked.html is not None
    assert ">42</a>" in asked.html
    assert asked.has_link_to_leave


async def test_content_that_shows_the_link_to_leave_is_judged_with_a_link(accept: Acceptor, book: ToldBook) -> None:
    await accept(PROJECT, submission(text=f"Bye: {UNSUBSCRIBE_MARK}"))
    (asked,) = book.asked
    assert asked.has_link_to_leave
    assert asked.text is not None
    assert asked.text.startswith("Bye: https://")


async def test_a_letter_of_ours_is_not_judged(accept: Acceptor, book: ToldBook) -> None:
    book.verdict = verdict(REFUSE)
    assert (await accept(PROJECT, submission(), is_ours=True)).recipient_count == 1
    assert book.asked == []


async def test_nobody_is_asked_about_mail_that_nobody_gets(accept: Acceptor, book: ToldBook) -> None:
    assert (await accept(PROJECT, submission("no address"))).session_id is None
    assert book.asked == []


async def test_what_is_tagged_goes_out_with_its_score(
    accept: Acceptor, book: ToldBook, room: EngineRoom, store: Store
) -> None:
    session = await hold(accept, book, "ann@a.example", said=TAG)
    assert (await room.recipients(session))["ann@a.example"].status is RecipientStatus.QUEUED
    (event,) = await room.events(session)
    assert {name: event.facts[name] for name in ("content", "cause", "score", "symbols")} == {
        "content": "tag", "cause": "score", "score": 7.5, "symbols": "BAD_URL, CAPS"
    }  # fmt: skip
    async with store.transaction() as tx:
        loaded = (await messages.load(tx, [session]))[session]
    assert loaded.body.headers == ((SCORE_FIELD, "7.5"),)


RAW = (
    b"Received: by relay.example with ESMTPSA id 1\r\nFrom: Shop <noreply@shop.example>\r\nTo: ann@a.example\r\n"
    b"X-Spam-Score: -10\r\nSubject: Hello\r\n\r\nbody\r\n"
)


def whole(**changes: Any) -> Submission:
    return submission("ann@a.example", text=None, raw=RAW, **changes)


async def test_a_message_that_came_whole_is_judged_as_it_came(
    accept: Acceptor, book: ToldBook, room: EngineRoom, store: Store
) -> None:
    book.verdict = verdict(REFUSE)
    with pytest.raises(ContentRefusedError):
        await accept(PROJECT, whole())
    assert set((await counts(store)).values()) == {0}
    book.verdict = verdict(HOLD)
    held = await accept(PROJECT, whole())
    assert held.session_id is not None
    assert (await room.recipients(held.session_id))["ann@a.example"].reason == "content"
    assert {one.raw for one in book.asked} == {RAW}


@pytest.mark.parametrize(("said", "field"), [(TAG, b"X-Spam-Score: 7.5\r\n"), (PASS, b"")])
async def test_a_message_that_came_whole_has_our_score_and_no_other(
    accept: Acceptor, book: ToldBook, store: Store, said: ContentAction, field: bytes
) -> None:
    book.verdict = verdict(said)
    accepted = await accept(PROJECT, whole())
    assert accepted.session_id is not None
    async with store.transaction() as tx:
        kept = (await messages.load(tx, [accepted.session_id]))[accepted.session_id].body.raw
    head, _, body = RAW.replace(b"X-Spam-Score: -10\r\n", b"").partition(b"\r\n\r\n")
    assert kept == head + b"\r\n" + field + b"\r\n" + body


def test_nobody_else_writes_the_score() -> None:
    given = (("x-spam-score", "-10"), ("X-Own", "1"))
    assert headers_of(given, None) == given
    assert headers_of(given, PASSED) == (("X-Own", "1"),)
    assert headers_of(given, verdict(HOLD)) == (("X-Own", "1"),)
    assert headers_of(given, verdict(TAG)) == (("X-Own", "1"), ("X-Spam-Score", "7.5"))


async def test_what_is_held_waits_with_its_events(
    accept: Acceptor, book: ToldBook, room: EngineRoom, store: Store
) -> None:
    session = await hold(accept, book, "ann@a.example", "bob@b.example")
    found = await room.recipients(session)
    assert {(one.status, one.reason, one.due_at) for one in found.values()} == {(RecipientStatus.HELD, "content", None)}
    accepted, *held = await room.events(session)
    assert (accepted.kind, accepted.facts["content"]) == (EventKind.ACCEPTED, "hold")
    assert [one.kind for one in held] == [EventKind.HELD] * 2
    assert {one.recipient_id for one in held} == {one.recipient_id for one in found.values()}
    assert all(one.reason == "content" and one.facts["score"] == 7.5 and one.facts["lane_id"] for one in held)
    assert (await counts(store))["queue"] == 0


async def test_mail_beside_what_is_held_in_one_commit_goes_on(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    """Of those that share a commit only the held one is held."""

    class Choosy(ToldBook):
        async def judge(self, candidate: object) -> object:  # type: ignore[override]
            return verdict(HOLD) if getattr(candidate, "subject", "") == "junk" else PASSED

    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    acceptor = room.acceptor(contents=Choosy())
    async with running(acceptor):
        answers = [
            await acceptor(PROJECT, submission(f"u{n}@a.example", subject="junk" if n == 1 else "good"))
            for n in range(3)
        ]
    states = []
    for one in answers:
        assert one.session_id is not None
        states += [to.status for to in (await room.recipients(one.session_id)).values()]
    assert states == [RecipientStatus.QUEUED, RecipientStatus.HELD, RecipientStatus.QUEUED]


async def test_the_project_is_told_once_until_somebody_has_looked(
    accept: Acceptor, book: ToldBook, store: Store, clock: FakeClock
) -> None:
    session = await hold(accept, book, "ann@a.example")
    await hold(accept, book, "bob@a.example")
    (notice,) = await told(store)
    assert (notice.kind, notice.subject) == (EventKind.HELD, "Mail is held for its content")
    assert f"POST /v1/emails/{session}/release" in notice.text
    assert "It looks like junk." in notice.text
    async with store.transaction() as tx:
        await notices.see_all(tx, PROJECT, now=clock.now())
    await hold(accept, book, "cat@a.example")
    assert len(await told(store)) == 2
    clock.advance(timedelta(days=1, seconds=1).total_seconds())
    await hold(accept, book, "dan@a.example")
    assert len(await told(store)) == 3, "one that nobody has seen in a day is said again"


async def test_a_release_lets_it_go(
    accept: Acceptor, book: ToldBook, room: EngineRoom, control: Control, store: Store
) -> None:
    session = await hold(accept, book, "ann@a.example", "bob@b.example")
    target = Target.session(PROJECT, session)
    assert (await control.resume(target)).recipient_count == 0, "no operator holds it"
    done = await control.release(target, note="looked at it")
    assert (done.kind, done.recipient_count) == (EventKind.RELEASED, 2)
    assert (await control.release(target)).recipient_count == 0, "safe twice"
    found = await room.recipients(session)
    assert {(one.status, one.reason) for one in found.values()} == {(RecipientStatus.QUEUED, "")}
    assert all(one.due_at == room.clock.now() for one in found.values())
    released = [one for one in await room.events(session) if one.kind is EventKind.RELEASED]
    assert [one.facts["note"] for one in released] == ["looked at it"] * 2
    assert (await counts(store))["queue"] == 2


async def test_what_is_held_can_be_cancelled(
    accept: Acceptor, book: ToldBook, room: EngineRoom, control: Control
) -> None:
    session = await hold(accept, book, "ann@a.example")
    assert (await control.drop(Target.session(PROJECT, session))).recipient_count == 1
    assert (await room.recipients(session))["ann@a.example"].status is RecipientStatus.CANCELLED
    assert (await control.release(Target.session(PROJECT, session))).recipient_count == 0


async def test_an_operators_hold_stands_before_a_release(
    accept: Acceptor, book: ToldBook, room: EngineRoom, control: Control
) -> None:
    session = await hold(accept, book, "ann@a.example")
    target = Target.session(PROJECT, session)
    await control.pause(target)
    with pytest.raises(ConflictError):
        await control.release(target)
    await control.resume(target)
    assert (await room.recipients(session))["ann@a.example"].status is RecipientStatus.HELD
    assert (await control.release(target)).recipient_count == 1


async def test_released_mail_is_delivered(store: Store, book: ToldBook, peer: Peer) -> None:
    """All the way, in real time."""
    from outrider.engine.upkeep import ensure_partitions
    from outrider.testing.clock import RealClock

    clock = RealClock()
    await ensure_partitions(store, clock)
    room = EngineRoom(store, clock)
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    acceptor = room.acceptor(contents=book)
    control = Control(store, clock=clock, random_bits=random.Random(1).getrandbits)
    async with running(acceptor, room.deliverer(OneWay(peer.site()))):
        session = await hold(acceptor, book, "ann@a.example")
        await control.release(Target.session(PROJECT, session))
        found = await room.until_settled(session)
    assert found["ann@a.example"].status is RecipientStatus.DELIVERED
