"""Messages and bodies: immutable, a body stored once per project."""

import asyncio
import hashlib
from uuid import UUID

import asyncpg
import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import Stream
from outrider.store import messages
from outrider.store.messages import Body, Message
from outrider.store.pool import Store, StoreValueError
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom, wait_blocked


def content(project_id: UUID, body: Body) -> tuple[UUID, bytes, bytes]:
    octets = messages.encode_body(body)
    return project_id, hashlib.sha256(octets).digest(), octets


def with_body(message: Message, body: Body) -> Message:
    _, content_hash, _ = content(message.project_id, body)
    return msgspec.structs.replace(message, content_hash=content_hash)


@pytest.mark.parametrize(
    "body",
    [Body("Grüße, 世界 🎉"), Body(html="<p>x</p>"), Body("a\r\n.b", "<b>\t</b>"), Body("x" * 1_000_000)],
    ids=["text", "html", "both", "megabyte"],
)
async def test_a_message_is_loaded_as_it_was_stored(
    store: Store, clock: FakeClock, mailroom: Mailroom, body: Body
) -> None:
    message = with_body(mailroom.message(await mailroom.project(), 3, stream=Stream.MARKETING), body)
    async with store.transaction() as tx:
        await messages.insert_contents(tx, [content(message.project_id, body)], now=clock.now())
        await messages.insert(tx, [message])
        loaded = await messages.load(tx, [message.message_id])
        assert await messages.by_id(tx, message.project_id, message.message_id) == message
    assert loaded == {message.message_id: messages.Loaded(message, body)}


async def test_a_message_is_its_projects_alone(store: Store, mailroom: Mailroom) -> None:
    message = mailroom.message(await mailroom.project())
    other_id = await mailroom.project("other")
    async with store.transaction() as tx:
        await messages.insert(tx, [message])
        assert await messages.by_id(tx, other_id, message.message_id) is None


async def test_what_is_gone_is_missing_from_the_answer(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()
    whole, bodiless = (with_body(mailroom.message(project_id), Body(text)) for text in ("a", "b"))
    async with store.transaction() as tx:
        await messages.insert_contents(tx, [content(project_id, Body("a"))], now=clock.now())
        await messages.insert(tx, [whole, bodiless])
        loaded = await messages.load(tx, [whole.message_id, bodiless.message_id, mailroom.new_id()])
    assert set(loaded) == {whole.message_id}


async def test_a_body_is_stored_once_per_project(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    async with store.transaction() as tx:
        for project_id in (shop, shop, other):
            twice = [content(project_id, Body("same"))] * 2
            await messages.insert_contents(tx, twice, now=clock.now())
        rows = await tx.fetch("SELECT project_id FROM content ORDER BY project_id")
    assert [row["project_id"] for row in rows] == sorted([shop, other])


async def test_a_body_another_project_has_is_not_lent(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    message = with_body(mailroom.message(other), Body("same"))
    async with store.transaction() as tx:
        await messages.insert_contents(tx, [content(shop, Body("same"))], now=clock.now())
        await messages.insert(tx, [message])
        assert await messages.load(tx, [message.message_id]) == {}


async def test_the_same_bodies_at_once_in_opposite_orders_end_well(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id = await mailroom.project()
    contents = [content(project_id, Body(str(number))) for number in range(200)]

    async def write(rows: list[tuple[UUID, bytes, bytes]]) -> None:
        async with store.transaction() as tx:
            await messages.insert_contents(tx, rows, now=clock.now())

    async with asyncio.timeout(WAIT_S):
        for _ in range(5):
            await asyncio.gather(write(contents), write(contents[::-1]), write(contents[100:] + contents[:100]))
            async with store.transaction() as tx:
                assert await tx.execute("DELETE FROM content") == 200


async def test_a_body_that_another_is_writing_is_waited_for(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    row = content(await mailroom.project(), Body("same"))

    async def write() -> None:
        async with store.transaction() as tx:
            await messages.insert_contents(tx, [row], now=clock.now())

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group, store.transaction() as tx:
        await messages.insert_contents(tx, [row], now=clock.now())
        group.create_task(write())
        await wait_blocked(store)
    async with store.transaction() as tx:
        assert len(await tx.fetch("SELECT FROM content")) == 1


async def test_a_message_id_is_used_once(store: Store, mailroom: Mailroom) -> None:
    message = mailroom.message(await mailroom.project())
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await messages.insert(tx, [message, message])


@pytest.mark.parametrize("text", ["nul \x00", "half \ud800"])
async def test_what_the_database_cannot_hold_is_refused(store: Store, mailroom: Mailroom, text: str) -> None:
    message = msgspec.structs.replace(mailroom.message(await mailroom.project()), subject=text)
    with pytest.raises(StoreValueError) as caught:
        async with store.transaction() as tx:
            await messages.insert(tx, [message])
    assert isinstance(caught.value.__cause__, asyncpg.DataError)
    assert await store.is_ready()
