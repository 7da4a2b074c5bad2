"""Lists of messages and events as the database gives them. What they mean is in test_services_mail.py."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from outrider.base.vocab import EventKind, RecipientStatus
from outrider.store import events, mail_views
from outrider.store.events import Event, NewEvent
from outrider.store.mail_views import EventPlace, Filters, Place
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mail, Mailroom

BEGINNING = EventPlace(datetime(1970, 1, 1, tzinfo=UTC), 0, 0)


@pytest.fixture
async def mail(mailroom: Mailroom) -> Mail:
    return await mailroom.mail(await mailroom.project(), [f"u{n}@a.example" for n in range(8)])


def first(clock: FakeClock) -> Place:
    return Place(clock.now() + timedelta(days=1), UUID(int=0))


async def test_a_message_is_listed_with_its_first_recipients_and_its_counts(
    store: Store, clock: FakeClock, mail: Mail
) -> None:
    async with store.transaction() as tx:
        await tx.execute(
            "UPDATE recipient SET status = 'bounced' WHERE recipient_id = $1 /* project_id */", mail.recipient_ids[7]
        )
        await tx.execute(
            "UPDATE message SET template_id = 'UET1', template_number = 3 WHERE message_id = $1 /* project_id */",
            mail.message.message_id,
        )
        found, more = await mail_views.page(tx, mail.message.project_id, Filters(), first(clock), count_max=10)
    (one,) = found
    assert more is None
    assert (one.template_id, one.template_number) == ("UET1", 3)
    assert one.addresses == [f"u{n}@a.example" for n in range(5)]
    assert one.counts == {RecipientStatus.QUEUED: 7, RecipientStatus.BOUNCED: 1}
    assert (one.message_id, one.recipient_count, one.tags) == (mail.message.message_id, 8, ())


async def test_a_full_page_says_where_to_look_on_and_an_empty_one_that_there_is_no_more(
    store: Store, clock: FakeClock, mail: Mail
) -> None:
    project_id = mail.message.project_id
    async with store.transaction() as tx:
        _, more = await mail_views.page(tx, project_id, Filters(), first(clock), count_max=1)
        assert more == Place(mail.message.accepted_at, mail.message.message_id)
        assert await mail_views.page(tx, project_id, Filters(), more, count_max=1) == ([], None)


async def test_events_are_read_on_behind_the_last_and_without_dialogues(
    store: Store, clock: FakeClock, mail: Mail
) -> None:
    message = mail.message
    async with store.transaction() as tx:
        await events.append(
            tx,
            [
                NewEvent(
                    at=clock.now(),
                    project_id=message.project_id,
                    message_id=message.message_id,
                    recipient_id=mail.recipient_ids[0],
                    kind=EventKind.DEFERRED,
                    attempt=n,
                    facts={"host": "mx.a.example", "dialogue": "long"},
                )
                for n in range(1, 6)
            ],
        )
    since, after = message.accepted_at, BEGINNING
    read: list[Event] = []
    async with store.transaction() as tx:
        while page := await mail_views.events_page(
            tx, message.project_id, message.message_id, after, since=since, count_max=2
        ):
            read += page
            after = EventPlace(page[-1].at, page[-1].cursor.xid, page[-1].cursor.event_id)
        other = await mail_views.events_page(tx, UUID(int=1), message.message_id, BEGINNING, since=since, count_max=9)
    assert [one.attempt for one in read if one.kind is EventKind.DEFERRED] == [1, 2, 3, 4, 5]
    assert [dict(one.facts) for one in read if one.kind is EventKind.DEFERRED] == [{"host": "mx.a.example"}] * 5
    assert other == []
