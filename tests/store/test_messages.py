"""Messages and bodies, as they are read."""

import msgspec
import pytest

from outrider.base.vocab import Stream
from outrider.store import intake, messages
from outrider.store.intake import NewMail
from outrider.store.messages import Body
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom, with_body


@pytest.mark.parametrize(
    "body",
    [Body("Grüße, 世界 🎉"), Body(html="<p>x</p>"), Body("a\r\n.b", "<b>\t</b>"), Body("x" * 1_000_000)],
    ids=["text", "html", "both", "megabyte"],
)
async def test_a_message_is_loaded_as_it_was_stored(
    store: Store, clock: FakeClock, mailroom: Mailroom, body: Body
) -> None:
    mail = with_body(mailroom.message(await mailroom.project(), 3, stream=Stream.MARKETING), body)
    message = mail.message
    async with store.transaction() as tx:
        await intake.insert(tx, [mail], now=clock.now())
        loaded = await messages.load(tx, [message.message_id])
        assert await messages.by_id(tx, message.project_id, message.message_id) == message
    assert loaded == {message.message_id: messages.Loaded(message, body)}


async def test_a_message_is_its_projects_alone(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    message = mailroom.message(await mailroom.project())
    other_id = await mailroom.project("other")
    async with store.transaction() as tx:
        await intake.insert(tx, [NewMail(message, b"", ())], now=clock.now())
        assert await messages.by_id(tx, other_id, message.message_id) is None


async def test_what_is_gone_is_missing_from_the_answer(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()
    whole, bodiless = (with_body(mailroom.message(project_id), Body(text)) for text in ("a", "b"))
    ids = [whole.message.message_id, bodiless.message.message_id, mailroom.new_id()]
    async with store.transaction() as tx:
        await intake.insert(tx, [whole, bodiless], now=clock.now())
        assert await tx.execute("DELETE FROM content WHERE body = $1", bodiless.body) == 1
        assert set(await messages.load(tx, ids)) == {whole.message.message_id}


async def test_a_body_another_project_has_is_not_lent(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    mails = [with_body(mailroom.message(project_id), Body("same")) for project_id in (shop, other)]
    async with store.transaction() as tx:
        await intake.insert(tx, mails, now=clock.now())
        assert await tx.execute("DELETE FROM content WHERE project_id = $1", other) == 1
        loaded = await messages.load(tx, [mail.message.message_id for mail in mails])
    assert set(loaded) == {mails[0].message.message_id}


def test_a_body_of_an_older_program_is_read() -> None:
    now = msgspec.msgpack.decode(messages.encode_body(Body("Hello", has_null_sender=True)))
    assert messages.decode_body(msgspec.msgpack.encode(now[:-1])) == Body("Hello", has_null_sender=True)
