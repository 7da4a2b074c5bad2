"""Reports: a session as it stands now, its recipients in order, each with its own life."""

from datetime import timedelta
from uuid import UUID

import pytest

from outrider.base.errors import NotFoundError
from outrider.base.vocab import EventKind, RecipientStatus
from outrider.services.reports import RecipientView, Reports
from outrider.store import events, queue, recipients
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.store.queue import PutBack
from outrider.store.recipients import Record
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mail, Mailroom

pytestmark = pytest.mark.newest

ADDRESSES = ["zoe@z.example", "ann@a.example", "zoe@a.example"]


@pytest.fixture
async def mail(mailroom: Mailroom) -> Mail:
    project_id = await mailroom.project()
    await mailroom.mail(project_id, ["somebody@else.example"])
    return await mailroom.mail(project_id, ADDRESSES)


@pytest.fixture
def reports(store: Store, clock: FakeClock) -> Reports:
    return Reports(store, clock=clock)


def event_of(mail: Mail, number: int, kind: EventKind, clock: FakeClock, **facts: str | int) -> NewEvent:
    message = mail.message
    return NewEvent(
        at=clock.now(),
        project_id=message.project_id,
        message_id=message.message_id,
        recipient_id=mail.recipient_ids[number],
        kind=kind,
        attempt=1,
        reason="greylisted" if kind is EventKind.DEFERRED else "accepted",
        reply="450 4.7.1 later" if kind is EventKind.DEFERRED else "250 2.0.0 ok",
        facts=facts,
    )


async def views(reports: Reports, mail: Mail) -> tuple[RecipientView, ...]:
    return (await reports.session(mail.message.project_id, mail.message.message_id)).recipients


async def test_a_session_just_accepted_waits_for_everybody(reports: Reports, clock: FakeClock, mail: Mail) -> None:
    session = await reports.session(mail.message.project_id, mail.message.message_id)
    assert (session.session_id, session.accepted_at) == (mail.message.message_id, clock.now())
    assert [recipient.address for recipient in session.recipients] == ADDRESSES
    for recipient in session.recipients:
        assert recipient.status is RecipientStatus.QUEUED
        assert (recipient.next_attempt_at, recipient.updated_at) == (clock.now(), clock.now())
        assert (recipient.attempt_count, recipient.reason, recipient.reply) == (0, "", "")
        assert [event.kind for event in recipient.events] == [EventKind.ACCEPTED], "written once for all of them"


async def test_each_recipient_has_its_own_life(store: Store, reports: Reports, clock: FakeClock, mail: Mail) -> None:
    first, second, _ = mail.recipient_ids
    clock.advance(5)
    retry_at = clock.now() + timedelta(minutes=1)
    async with store.transaction() as tx:
        await queue.finish(tx, [(first, 0)])
        await queue.put_back(tx, [PutBack(second, 0, retry_at)])
        records = [
            Record(first, RecipientStatus.DELIVERED, "accepted", "250 2.0.0 ok", 1),
            Record(second, RecipientStatus.QUEUED, "greylisted", "450 4.7.1 later", 1),
        ]
        await recipients.record(tx, records, now=clock.now())
        delivered = event_of(mail, 0, EventKind.DELIVERED, clock, host="mx.example", duration_ms=12)
        await events.append(tx, [delivered, event_of(mail, 1, EventKind.DEFERRED, clock)])
    one, two, three = await views(reports, mail)
    assert (one.status, one.reason, one.reply) == (RecipientStatus.DELIVERED, "accepted", "250 2.0.0 ok")
    assert (one.attempt_count, one.next_attempt_at, one.updated_at) == (1, None, clock.now())
    assert [event.kind for event in one.events] == [EventKind.ACCEPTED, EventKind.DELIVERED]
    assert (one.events[1].at, dict(one.events[1].facts)) == (clock.now(), {"host": "mx.example", "duration_ms": 12})
    assert (two.status, two.attempt_count, two.next_attempt_at) == (RecipientStatus.QUEUED, 1, retry_at)
    assert [(event.kind, event.reason, event.reply) for event in two.events[1:]] == [
        (EventKind.DEFERRED, "greylisted", "450 4.7.1 later")
    ]
    assert [event.kind for event in three.events] == [EventKind.ACCEPTED]


async def test_a_life_of_days_is_told_oldest_first(
    store: Store, reports: Reports, clock: FakeClock, mail: Mail
) -> None:
    kinds = [EventKind.DEFERRED, EventKind.DEFERRED, EventKind.EXPIRED]
    for kind in kinds:
        clock.advance(86_400)
        async with store.transaction() as tx:
            await events.append(tx, [event_of(mail, 2, kind, clock)])
    told = (await views(reports, mail))[2].events
    assert [event.kind for event in told] == [EventKind.ACCEPTED, *kinds]
    assert [event.at for event in told] == sorted(event.at for event in told)


async def test_what_a_machine_with_a_slow_clock_wrote_is_told_too(
    store: Store, reports: Reports, clock: FakeClock, mail: Mail
) -> None:
    """Delivered a second before it was accepted, by the clock of the machine that delivered."""
    clock.step_wall(-1)
    async with store.transaction() as tx:
        await events.append(tx, [event_of(mail, 0, EventKind.DELIVERED, clock)])
    told = (await views(reports, mail))[0].events
    assert {event.kind for event in told} == {EventKind.ACCEPTED, EventKind.DELIVERED}


async def test_another_projects_session_is_not_found(reports: Reports, mailroom: Mailroom, mail: Mail) -> None:
    strangers = [(await mailroom.project("other"), mail.message.message_id), (mail.message.project_id, UUID(int=0))]
    for project_id, session_id in strangers:
        with pytest.raises(NotFoundError) as caught:
            await reports.session(project_id, session_id)
        assert caught.value.field == "session_id"
