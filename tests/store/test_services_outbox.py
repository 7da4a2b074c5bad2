"""Mail read back and sent again, of one's own project alone."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import RecipientStatus, Stream
from outrider.engine.submission import Attachment
from outrider.services.outbox import Outbox
from outrider.store import messages
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import OTHER_PROJECT, PROJECT, EngineRoom, running, submission

pytestmark = pytest.mark.newest

INVOICE = Attachment(name="invoice.pdf", type="application/pdf", content=b"%PDF" * 100)


@pytest.fixture
def outbox(store: Store, room: EngineRoom) -> Outbox:
    return Outbox(store, room.accept)


async def send(room: EngineRoom) -> UUID:
    return await room.send(
        "ann@a.example",
        "bob@b.example",
        "eve@e.example",
        shown_to=("Ann <ann@a.example>",),
        shown_cc=("bob@b.example",),
        reply_to=("help@shop.example",),
        headers=(("X-Order", "1042"),),
        attachments=(INVOICE,),
        stream=Stream.MARKETING,
        tags=("order",),
        metadata={"order": "1042"},
        campaign="autumn",
        list_name="news",
    )


async def test_what_was_handed_in_is_read_back(room: EngineRoom, outbox: Outbox) -> None:
    view = await outbox.content(PROJECT, await send(room))
    assert (view.subject, view.text, view.html, view.stream) == ("Hello", "Hello, world.\n", None, Stream.MARKETING)
    assert (view.shown_to, view.shown_cc) == (("Ann <ann@a.example>",), ("bob@b.example",))
    assert view.headers == (("X-Order", "1042"),)
    assert [(file.name, file.size_bytes) for file in view.files] == [("invoice.pdf", 400)]
    assert (view.tags, view.metadata, view.campaign, view.list_name) == (
        ("order",),
        {"order": "1042"},
        "autumn",
        "news",
    )


@pytest.mark.parametrize("whose", [OTHER_PROJECT, uuid4()])
async def test_another_projects_mail_is_not_there(room: EngineRoom, outbox: Outbox, whose: UUID) -> None:
    session = await send(room)
    with pytest.raises(NotFoundError):
        await outbox.content(whose, session)
    with pytest.raises(NotFoundError):
        await outbox.resend(whose, session)


async def test_a_message_is_sent_again_as_it_was(room: EngineRoom, outbox: Outbox, store: Store) -> None:
    session = await send(room)
    again = await outbox.resend(PROJECT, session)
    assert again.session_id not in (None, session)
    assert again.recipient_count == 3
    assert again.session_id is not None
    first, second = await outbox.content(PROJECT, session), await outbox.content(PROJECT, again.session_id)
    assert (second.shown_to, second.files, second.tags) == (first.shown_to, first.files, first.tags)
    async with store.transaction() as tx:
        message = await messages.by_id(tx, PROJECT, again.session_id)
    assert message is not None
    assert message.resent_from == session


class AskedPool:
    """A `PoolBook` that gives whatever pool a call asks for."""

    async def pool_for(self, project_id: UUID, stream: Stream, sender_domain: str, *, asked: str = "") -> str:
        """Return it."""
        return asked or "default"


@pytest.mark.parametrize("is_whole", [False, True])
async def test_it_is_sent_again_by_the_pool_that_was_asked_for_and_lives_as_long(
    room: EngineRoom, store: Store, clock: FakeClock, is_whole: bool
) -> None:
    room.pools = AskedPool()
    raw = b"From: Shop <noreply@shop.example>\r\nSubject: Hello\r\n\r\nHello\r\n"
    content = {"raw": raw, "text": None} if is_whole else {}
    accept = room.acceptor()
    async with running(accept):
        later = clock.now() + timedelta(days=2)
        wish = submission("ann@a.example", pool="vip", expires_s=3600.0, send_at=later, **content)
        first = await accept(PROJECT, wish)
        clock.advance(600)
        assert first.session_id is not None
        again = await Outbox(store, accept).resend(PROJECT, first.session_id)
    assert again.session_id is not None
    async with store.transaction() as tx:
        pools = await tx.fetch("SELECT pool FROM queue JOIN lane USING (lane_id)")
        message = await messages.by_id(tx, PROJECT, again.session_id)
    assert [row["pool"] for row in pools] == ["vip", "vip"]
    assert message is not None
    assert (message.send_at, message.expires_at) == (None, clock.now() + timedelta(hours=1))


async def test_only_those_asked_for_get_it_again_and_nobody_is_shown_who_does_not(
    room: EngineRoom, outbox: Outbox
) -> None:
    again = await outbox.resend(PROJECT, await send(room), to=["Bob <BOB@b.example>"])
    assert again.session_id is not None
    assert list(await room.recipients(again.session_id)) == ["bob@b.example"]
    view = await outbox.content(PROJECT, again.session_id)
    assert (view.shown_to, view.shown_cc) == ((), ("bob@b.example",))


async def test_nobody_else_can_be_sent_to(room: EngineRoom, outbox: Outbox) -> None:
    session = await send(room)
    with pytest.raises(CallerError) as caught:
        await outbox.resend(PROJECT, session, to=["ann@a.example", "new@n.example"])
    assert caught.value.field == "to[1]"
    with pytest.raises(CallerError) as caught:
        await outbox.resend(PROJECT, session, statuses=[RecipientStatus.BOUNCED])
    assert caught.value.field == "to"


async def test_of_a_message_that_came_whole_everybody_it_is_from_must_still_be_allowed(
    room: EngineRoom, outbox: Outbox
) -> None:
    head = b"From: Shop <noreply@shop.example>\r\nSubject: Hello\r\n"
    session = await room.send("ann@a.example", text=None, raw=head + b"\r\nHello\r\n")
    assert (await outbox.resend(PROJECT, session)).recipient_count == 1
    other = await room.send("ann@a.example", text=None, raw=head + b"Sender: gone@shop.example\r\n\r\nHello\r\n")
    with pytest.raises(NotFoundError):
        await outbox.resend(PROJECT, other)
