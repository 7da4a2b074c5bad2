"""Recipients: in the order given, seen by their project only, moved by what the table allows."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import RecipientStatus
from outrider.store import queue, recipients
from outrider.store.pool import Store, StoreValueError
from outrider.store.queue import PutBack
from outrider.store.recipients import MOVES, LateBounce, Record
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

ADDRESSES = [f"r{number}@{route}.example" for number, route in enumerate("caebd")]


async def test_recipients_come_in_the_order_given(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    mail = await mailroom.mail(await mailroom.project(), ADDRESSES)
    async with store.transaction() as tx:
        found = await recipients.of_message(tx, mail.message.project_id, mail.message.message_id)
    assert [recipient.address for recipient in found] == ADDRESSES
    assert [recipient.recipient_id for recipient in found] == mail.recipient_ids
    assert {(r.status, r.reason, r.reply, r.attempt, r.updated_at, r.due_at) for r in found} == {
        (RecipientStatus.QUEUED, "", "", 0, clock.now(), clock.now())
    }


async def test_another_project_sees_none(store: Store, mailroom: Mailroom) -> None:
    mail = await mailroom.mail(await mailroom.project(), ADDRESSES)
    other_id = await mailroom.project("other")
    async with store.transaction() as tx:
        assert await recipients.of_message(tx, other_id, mail.message.message_id) == []


async def test_a_record_moves_its_recipient_and_no_other(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    mail = await mailroom.mail(await mailroom.project(), ADDRESSES[:3])
    done_id, back_id, _ = mail.recipient_ids
    later = clock.now() + timedelta(minutes=1)
    async with store.transaction() as tx:
        await queue.finish(tx, [(done_id, 0)])
        await queue.put_back(tx, [PutBack(back_id, 0, later)])
        records = [
            Record(done_id, RecipientStatus.DELIVERED, "accepted", "250 2.0.0 grüß dich", 1),
            Record(back_id, RecipientStatus.QUEUED, "greylisted", "450 4.7.1 später", 1),
        ]
        await recipients.record(tx, records, now=later)
        done, back, untouched = await recipients.of_message(tx, mail.message.project_id, mail.message.message_id)
    assert (done.status, done.reason, done.reply, done.attempt) == (
        RecipientStatus.DELIVERED, "accepted", "250 2.0.0 grüß dich", 1
    )  # fmt: skip
    assert (done.due_at, done.updated_at) == (None, later)
    assert (back.status, back.attempt, back.due_at) == (RecipientStatus.QUEUED, 1, later)
    assert (untouched.status, untouched.attempt, untouched.due_at) == (RecipientStatus.QUEUED, 0, clock.now())


async def test_every_status_can_be_stored(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    mail = await mailroom.mail(await mailroom.project(), ADDRESSES[:1])
    async with store.transaction() as tx:
        for status in RecipientStatus:
            await recipients.record(tx, [Record(mail.recipient_ids[0], status, "", "", 1)], now=clock.now())
            (found,) = await recipients.of_message(tx, mail.message.project_id, mail.message.message_id)
            assert found.status is status


async def test_a_status_nobody_knows_is_refused(store: Store, mailroom: Mailroom) -> None:
    await mailroom.mail(await mailroom.project(), ADDRESSES[:1])
    with pytest.raises(StoreValueError):
        async with store.transaction() as tx:
            await tx.execute("UPDATE recipient SET status = 'lost'")


async def test_recording_nothing_changes_nothing(store: Store, clock: FakeClock) -> None:
    async with store.transaction() as tx:
        await recipients.record(tx, [], now=clock.now())


def test_every_status_has_its_moves_and_the_final_ones_none_but_a_late_bounce() -> None:
    assert set(MOVES) == set(RecipientStatus)
    assert MOVES[RecipientStatus.DELIVERED] == {RecipientStatus.BOUNCED}
    assert {status for status, moves in MOVES.items() if not moves} == {
        s for s in RecipientStatus if s.is_final and s is not RecipientStatus.DELIVERED
    }


async def test_a_late_bounce_moves_what_was_delivered_and_nothing_else(
    store: Store, clock: FakeClock, mailroom: Mailroom
) -> None:
    mail = await mailroom.mail(await mailroom.project(), [f"{status}@a.example" for status in RecipientStatus])
    project_id, other_id = mail.message.project_id, await mailroom.project("other")
    records = [Record(i, s, "was", "250 ok", 1) for i, s in zip(mail.recipient_ids, RecipientStatus, strict=True)]
    later = clock.now() + timedelta(days=1)

    def late(project_id: UUID) -> list[LateBounce]:
        return [LateBounce(i, project_id, "recipient.invalid", "550 5.1.1 gone") for i in mail.recipient_ids]

    async with store.transaction() as tx:
        await recipients.record(tx, records, now=clock.now())
        before = await recipients.of_message(tx, project_id, mail.message.message_id)
        await recipients.bounce_late(tx, late(other_id), now=later)
        await recipients.bounce_late(tx, [], now=later)
        assert await recipients.of_message(tx, project_id, mail.message.message_id) == before
        await recipients.bounce_late(tx, late(project_id), now=later)
        after = await recipients.of_message(tx, project_id, mail.message.message_id)
    changed = [(old.status, new) for old, new in zip(before, after, strict=True) if old != new]
    ((status, new),) = changed
    assert status is RecipientStatus.DELIVERED
    assert (new.status, new.reason, new.reply, new.attempt, new.updated_at) == (
        RecipientStatus.BOUNCED, "recipient.invalid", "550 5.1.1 gone", 1, later
    )  # fmt: skip


async def test_the_update_at_settle_stays_on_its_page(store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
    """An index on a column that settle writes would end HOT updates, and cost a fifth of the throughput."""
    mail = await mailroom.mail(await mailroom.project(), ADDRESSES)
    async with store.transaction() as tx:
        records = [Record(one, RecipientStatus.DELIVERED, "accepted", "250 ok", 1) for one in mail.recipient_ids]
        await recipients.record(tx, records, now=clock.now())
        row = await tx.fetch_row(
            "SELECT pg_stat_get_xact_tuples_updated('recipient'::regclass) AS updated,"
            " pg_stat_get_xact_tuples_hot_updated('recipient'::regclass) AS hot"
        )
    assert row is not None
    assert row["updated"] == row["hot"] == len(ADDRESSES)
