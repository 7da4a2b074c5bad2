"""Delivery reports by mail: what happened to whom is told to who asked, once, whoever dies in the middle."""

import random
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from outrider.base.vocab import EventKind
from outrider.engine.submission import Accepted, ReportsAsked, ReportWish, Submission
from outrider.mail import dsn, parts
from outrider.mail.dsn import Status
from outrider.services.status_reports import ReportMailer, ReportNoter
from outrider.store import events, messages, projects, suppressions
from outrider.store.events import NewEvent
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import DOMAIN, PROJECT, SENDER, EngineRoom
from outrider.testing.mailroom import Mailroom
from outrider.wire.smtp_client import Features
from tests.store.test_engine_accept import suppressed
from tests.store.test_engine_handed import PLAIN, whole
from tests.store.test_engine_prepare import claims_of

pytestmark = pytest.mark.newest
OPS = f"ops@{DOMAIN}"
TO = "ann@a.example"
REFUSED = "550 5.1.1 <ann@a.example>: no such user"
HOUR = timedelta(hours=1)


class Room:
    """A program's parts that tell by mail, and what they have sent."""

    def __init__(self, room: EngineRoom) -> None:
        self.room, self.clock = room, room.clock
        log, bits = room.journal.logger, random.SystemRandom().getrandbits
        self.noter = ReportNoter(room.store, delay_after_s=4 * 3600, clock=self.clock, random_bits=bits, logger=log)
        send = partial(room.accept, is_ours=True)
        self.mailer = ReportMailer(room.store, send, host_name="mx.shop.example", clock=self.clock, logger=log)

    async def hand_in(self, *kinds: str, return_to: str = OPS, **asked: Any) -> UUID:
        wishes = (ReportWish(TO, kinds, "ann+x@old.example"),)
        reports = ReportsAsked(return_to=return_to, wishes=wishes, envelope_id="QQ 1", **asked)
        accepted = await self.room.accept(PROJECT, whole(TO, reports=reports))
        assert accepted.session_id is not None
        await self.noted()
        return accepted.session_id

    async def noted(self) -> None:
        """Read all events that are there."""
        while not await self.noter.step():
            continue

    async def happen(self, session: UUID, kind: EventKind, reply: str = "", *, after: timedelta = HOUR) -> None:
        (recipient,) = (await self.room.recipients(session)).values()
        event = NewEvent(
            self.clock.now() + after,
            PROJECT,
            session,
            recipient.recipient_id,
            kind,
            reply=reply,
            facts={"host": "mx.a.example"},
        )
        async with self.room.store.transaction() as tx:
            await events.append(tx, [event])
        await self.noted()

    async def sent(self) -> list[bytes]:
        """Send what waits; return all reports that were ever sent."""
        await self.mailer.mail()
        async with self.room.store.transaction() as tx:
            rows = await tx.fetch(
                "SELECT message_id FROM message JOIN recipient USING (message_id) WHERE address = $1"
                " ORDER BY message_id",
                OPS,
            )
            loaded = await messages.load(tx, [row["message_id"] for row in rows])
        return [loaded[row["message_id"]].body.raw or b"" for row in rows]


@pytest.fixture
async def told(room: EngineRoom, store: Store, clock: FakeClock, mailroom: Mailroom) -> Room:
    """Give the room's project a domain and a sender on it, and a noter that has begun."""
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
    await mailroom.sender(PROJECT, SENDER)
    made = Room(room)
    await made.noter.step()
    return made


def status_of(content: bytes) -> Status:
    (text,) = [part.text() for part in parts.cut(content) if part.kind in dsn.KINDS]
    return dsn.read(text)


async def test_a_bounce_is_told_once_with_all_that_was_asked(told: Room) -> None:
    session = await told.hand_in("FAILURE", is_full=True)
    await told.happen(session, EventKind.BOUNCED, REFUSED)
    await told.happen(session, EventKind.BOUNCED_LATE, REFUSED)
    (content,) = await told.sent()
    status = status_of(content)
    assert (status.reporting_mta, status.envelope_id) == ("mx.shop.example", "QQ 1")
    (said,) = status.diagnoses
    assert (said.address, said.original_address, said.action) == (TO, "ann+x@old.example", "failed")
    assert (said.status, said.code, said.remote_mta) == ("5.1.1", 550, "mx.a.example")
    assert content.endswith(b"--\r\n")
    assert PLAIN in content
    assert b"Auto-Submitted: auto-replied\r\n" in content
    assert b"Last-Attempt-Date: " in content
    assert len(await told.sent()) == 1


async def test_its_envelope_has_the_null_sender(told: Room) -> None:
    await told.happen(await told.hand_in("FAILURE"), EventKind.EXPIRED)
    assert len(await told.sent()) == 1
    async with told.room.store.transaction() as tx:
        row = await tx.fetch_row("SELECT message_id FROM recipient WHERE address = $1", OPS)
    assert row is not None
    preparer = told.room.preparer()
    (claim,) = await claims_of(told.room, row["message_id"])
    composed = await preparer.compose({claim.message_id})
    envelope = (await preparer.maker(composed[claim.message_id], claim))(Features(has_8bitmime=True))
    assert (envelope.sender, envelope.recipients) == ("", (OPS,))


@pytest.mark.parametrize(
    ("kinds", "kind", "action", "status"),
    [
        (("SUCCESS",), EventKind.DELIVERED, "relayed", "2.0.0"),
        (("SUCCESS",), EventKind.BOUNCED, "", ""),
        (("FAILURE",), EventKind.DELIVERED, "", ""),
        (("FAILURE",), EventKind.EXPIRED, "failed", "5.0.0"),
        (("FAILURE",), EventKind.SUPPRESSED, "failed", "5.0.0"),
        (("FAILURE",), EventKind.BOUNCED_LATE, "failed", "5.0.0"),
        (("FAILURE",), EventKind.CANCELLED, "", ""),
        (("DELAY",), EventKind.EXPIRED, "", ""),
    ],
)
async def test_what_is_told_is_what_was_asked(
    told: Room, kinds: tuple[str, ...], kind: EventKind, action: str, status: str
) -> None:
    await told.happen(await told.hand_in(*kinds), kind)
    said = [(one.action, one.status) for content in await told.sent() for one in status_of(content).diagnoses]
    assert said == ([(action, status)] if action else [])


async def test_a_delay_is_told_when_it_is_long_and_once(told: Room) -> None:
    session = await told.hand_in("DELAY", "FAILURE")
    await told.happen(session, EventKind.DEFERRED, "450 4.2.1 later", after=HOUR)
    assert await told.sent() == []
    for hours in (5, 6):
        await told.happen(session, EventKind.DEFERRED, "450 4.2.1 later", after=hours * HOUR)
    (content,) = await told.sent()
    (said,) = status_of(content).diagnoses
    assert (said.action, said.status, said.code) == ("delayed", "4.2.1", 450)
    assert b"text/rfc822-headers" in content
    assert b"world" not in content


async def test_nobody_elsewhere_is_written_to(told: Room) -> None:
    await told.happen(await told.hand_in("FAILURE", return_to="victim@elsewhere.example"), EventKind.BOUNCED, REFUSED)
    assert await told.mailer.mail() == 0


async def test_who_dies_between_accepting_and_writing_it_down_sends_nothing_twice(told: Room) -> None:
    class Dying(Exception):
        pass

    async def send(
        project_id: UUID, submission: Submission, *, idempotency_key: str = "", request_hash: bytes = b""
    ) -> Accepted:
        await told.room.accept(
            project_id, submission, idempotency_key=idempotency_key, request_hash=request_hash, is_ours=True
        )
        raise Dying

    await told.happen(await told.hand_in("FAILURE"), EventKind.BOUNCED, REFUSED)
    log = told.room.journal.logger
    dying = ReportMailer(told.room.store, send, host_name="mx.shop.example", clock=told.clock, logger=log)
    with pytest.raises(Dying):
        await dying.mail()
    assert len(await told.sent()) == 1


@pytest.mark.parametrize(
    ("kinds", "return_to"), [(("FAILURE",), OPS), (("DELAY",), OPS), (("FAILURE",), "x@y.example")]
)
async def test_who_was_rejected_beside_others_is_told_of_at_once(
    told: Room, store: Store, kinds: tuple[str, ...], return_to: str
) -> None:
    async with store.transaction() as tx:
        await suppressions.put(tx, [suppressed("gone@a.example", told.clock)])
    wishes = (ReportWish("Gone@a.example", kinds, "g+x@old.example"), ReportWish(TO, ("SUCCESS",)))
    reports = ReportsAsked(return_to=return_to, wishes=wishes, envelope_id="QQ 2")
    for _ in range(2):  # A repeat tells nothing anew.
        raw = whole("Gone@a.example", TO, reports=reports)
        accepted = await told.room.accept(PROJECT, raw, idempotency_key="once")
    await told.noted()
    assert [one.reason for one in accepted.rejected] == ["recipient suppressed"]
    sent = await told.sent()
    if (kinds, return_to) != (("FAILURE",), OPS):
        assert sent == []
        return
    (content,) = sent
    status = status_of(content)
    (said,) = status.diagnoses
    assert (status.envelope_id, said.address, said.original_address) == ("QQ 2", "Gone@a.example", "g+x@old.example")
    assert (said.action, said.status, b"recipient suppressed" in content) == ("failed", "5.0.0", True)
