"""Mail that came in: kept until it is settled, taken by one at a time, back after whoever took it died."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.vocab import RecipientStatus
from outrider.mail.verp import Purpose
from outrider.store import inbound
from outrider.store.inbound import About, Inbound
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import SENDER_DOMAIN, Mailroom

CLAIM = timedelta(seconds=60)


def mail_of(clock: FakeClock, number: int, content: bytes = b"Subject: x\r\n\r\n\0\xff") -> Inbound:
    return Inbound(
        inbound_id=UUID(int=number),
        recipient_id=UUID(int=1000 + number),
        purpose=Purpose.BOUNCE,
        sender="",
        client="192.0.2.7",
        content=content,
        received_at=clock.now(),
    )


async def keep(store: Store, *mails: Inbound) -> None:
    async with store.transaction() as tx:
        await inbound.insert(tx, mails)


async def take(store: Store, clock: FakeClock, count_max: int = 10) -> list[Inbound]:
    async with store.transaction() as tx:
        return await inbound.take(tx, now=clock.now(), claim=CLAIM, count_max=count_max)


def numbers(mails: Sequence[Inbound]) -> list[int]:
    return sorted(mail.inbound_id.int for mail in mails)


async def test_what_is_kept_is_taken_as_it_came(store: Store, clock: FakeClock) -> None:
    await keep(store, mail_of(clock, 1))
    (taken,) = await take(store, clock)
    assert taken == msgspec.structs.replace(mail_of(clock, 1), attempt=1)


async def test_the_oldest_are_taken_first_and_nobody_else_gets_them(store: Store, clock: FakeClock) -> None:
    for number in (3, 1, 2):
        await keep(store, mail_of(clock, number))
        clock.advance(1)
    assert numbers(await take(store, clock, 2)) == [1, 3]
    async with store.transaction() as tx:
        held = await inbound.take(tx, now=clock.now(), claim=CLAIM, count_max=1)
        assert numbers(held) == [2]
        assert await take(store, clock) == []  # Another worker, at the same moment: steps over what is locked.


async def test_who_dies_with_it_leaves_it_to_the_next_look_later_each_time(store: Store, clock: FakeClock) -> None:
    await keep(store, mail_of(clock, 1))
    for attempt in (1, 2, 3):
        (taken,) = await take(store, clock)
        assert taken.attempt == attempt
        clock.advance(60 * attempt - 1)
        assert await take(store, clock) == []
        clock.advance(1)


async def test_what_is_deleted_is_told_to_one_only(store: Store, clock: FakeClock) -> None:
    await keep(store, mail_of(clock, 1), mail_of(clock, 2))
    async with store.transaction() as tx:
        assert await inbound.delete(tx, [UUID(int=1), UUID(int=9)]) == {UUID(int=1)}
        assert await inbound.delete(tx, [UUID(int=1)]) == set()
    assert numbers(await take(store, clock)) == [2]


async def test_what_is_put_back_is_taken_again_then(store: Store, clock: FakeClock) -> None:
    await keep(store, mail_of(clock, 1))
    await take(store, clock)
    async with store.transaction() as tx:
        await inbound.put_back(tx, [UUID(int=1)], due_at=clock.now() + timedelta(seconds=10))
    assert await take(store, clock) == []
    clock.advance(10)
    assert numbers(await take(store, clock)) == [1]


async def test_what_is_put_aside_is_kept_for_a_while_and_taken_by_nobody(store: Store, clock: FakeClock) -> None:
    await keep(store, mail_of(clock, 1))

    async def put_aside(number: int) -> int:
        async with store.transaction() as tx:
            await inbound.put_aside(tx, [UUID(int=number)], forget_before=clock.now() - timedelta(days=30))
            return len(await tx.fetch("SELECT FROM inbound"))

    assert await put_aside(1) == 1
    clock.advance(31 * 86_400)
    assert await take(store, clock) == []
    await keep(store, mail_of(clock, 2))
    assert await put_aside(2) == 1


async def test_what_is_known_of_a_recipient(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    mail = await mailroom.mail(await mailroom.project(), ["ann@a.example"])
    (recipient_id,) = mail.recipient_ids
    async with store.transaction() as tx:
        found = await inbound.about(tx, [recipient_id, UUID(int=9)])
    assert found == {
        recipient_id: About(
            recipient_id=recipient_id,
            project_id=mail.message.project_id,
            message_id=mail.message.message_id,
            address="ann@a.example",
            attempt=0,
            status=RecipientStatus.QUEUED,
            sender=f"news@{SENDER_DOMAIN}",
        )
    }


@pytest.mark.parametrize("purpose", Purpose)
async def test_every_purpose_can_be_kept(store: Store, clock: FakeClock, purpose: Purpose) -> None:
    mail = Inbound(
        inbound_id=UUID(int=1),
        recipient_id=UUID(int=2),
        purpose=purpose,
        sender="a@b.example",
        client="::1",
        content=b"",
        received_at=clock.now(),
    )
    await keep(store, mail)
    assert [taken.purpose for taken in await take(store, clock)] == [purpose]
