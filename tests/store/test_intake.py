"""Accepted mail: all its rows or none, a body stored once per project."""

import asyncio
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import EventKind, RecipientStatus
from outrider.store import events, intake, recipients
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.messages import Body
from outrider.store.pool import Store, StoreValueError
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom, wait_blocked, with_body


async def test_recipients_wait_in_the_queue_and_the_event_tells_of_the_message(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id, now = await mailroom.project(), clock.now()
    message = mailroom.message(project_id, 2)
    due = {"ann@a.example": now, "bob@b.example": now + timedelta(minutes=1)}
    rows = [
        NewRecipient(mailroom.new_id(), message.message_id, project_id, name, lane_id, due_at, message.expires_at)
        for lane_id, (name, due_at) in enumerate(due.items())
    ]
    async with store.transaction() as tx:
        await intake.insert(tx, [NewMail(message, b"", rows, {"recipient_count": 2})], now=now)
        found = await recipients.of_message(tx, project_id, message.message_id)
        (event,) = await events.of_message(tx, project_id, message.message_id, accepted_at=now)
        queued = await tx.fetch("SELECT recipient_id, lane_id, expires_at, attempt FROM queue ORDER BY lane_id")
    assert {to.address: to.due_at for to in found} == due
    assert {(to.status, to.attempt, to.updated_at) for to in found} == {(RecipientStatus.QUEUED, 0, now)}
    assert [tuple(row.values()) for row in queued] == [(r.recipient_id, r.lane_id, r.expires_at, 0) for r in rows]
    assert (event.kind, event.at, event.recipient_id, event.facts) == (
        EventKind.ACCEPTED,
        message.accepted_at,
        None,
        {"recipient_count": 2},
    )


async def test_a_body_is_stored_once_per_project(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    async with store.transaction() as tx:
        for project_id in (shop, shop, other):
            twice = [with_body(mailroom.message(project_id), Body("same")) for _ in range(2)]
            await intake.insert(tx, twice, now=clock.now())
        rows = await tx.fetch("SELECT project_id FROM content ORDER BY project_id")
    assert [row["project_id"] for row in rows] == sorted([shop, other])


async def test_the_same_bodies_at_once_in_opposite_orders_end_well(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    project_id = await mailroom.project()
    bodies = [Body(str(number)) for number in range(200)]

    async def write(ordered: list[Body]) -> None:
        mails = [with_body(mailroom.message(project_id), body) for body in ordered]
        async with store.transaction() as tx:
            await intake.insert(tx, mails, now=clock.now())

    async with asyncio.timeout(WAIT_S):
        for _ in range(5):
            await asyncio.gather(write(bodies), write(bodies[::-1]), write(bodies[100:] + bodies[:100]))
            async with store.transaction() as tx:
                assert await tx.execute("DELETE FROM content") == 200


async def test_a_body_that_another_is_writing_is_waited_for(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    project_id = await mailroom.project()

    async def write() -> None:
        async with store.transaction() as tx:
            await intake.insert(tx, [with_body(mailroom.message(project_id), Body("same"))], now=clock.now())

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group, store.transaction() as tx:
        await intake.insert(tx, [with_body(mailroom.message(project_id), Body("same"))], now=clock.now())
        group.create_task(write())
        await wait_blocked(store)
    async with store.transaction() as tx:
        assert len(await tx.fetch("SELECT FROM content")) == 1


async def test_a_message_id_is_used_once(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    mail = with_body(mailroom.message(await mailroom.project()), Body("Hello"))
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await intake.insert(tx, [mail, mail], now=clock.now())
    assert await counts(store) == {"content": 0, "message": 0, "event": 0}


async def test_a_recipient_is_queued_once(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    message = mailroom.message(await mailroom.project(), 2)
    who = mailroom.new_id(), message.message_id, message.project_id
    row = NewRecipient(*who, "ann@a.example", 1, clock.now(), message.expires_at)
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await intake.insert(tx, [NewMail(message, b"", [row, row])], now=clock.now())
    assert await counts(store) == {"content": 0, "message": 0, "event": 0}


@pytest.mark.parametrize("text", ["nul \x00", "half \ud800"])
@pytest.mark.parametrize("place", ["subject", "fact"])
async def test_what_the_database_cannot_hold_is_refused(
    store: Store, clock: FakeClock, mailroom: Mailroom, text: str, place: str
) -> None:
    message = mailroom.message(await mailroom.project())
    if place == "subject":
        message = msgspec.structs.replace(message, subject=text)
    mail = NewMail(message, b"", (), {"from_given": text} if place == "fact" else {})
    with pytest.raises(StoreValueError) as caught:
        async with store.transaction() as tx:
            await intake.insert(tx, [mail], now=clock.now())
    assert isinstance(caught.value.__cause__, asyncpg.DataError | UnicodeEncodeError)
    assert await store.is_ready()


async def counts(store: Store) -> dict[str, int]:
    async with store.transaction() as tx:
        return {name: len(await tx.fetch(f"SELECT FROM {name}")) for name in ("content", "message", "event")}
