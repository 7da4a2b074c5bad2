"""What comes back, from the return path to the suppression: who may leave it, that none is lost, what each does."""

import asyncio
import random
import smtplib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import BusyError, StoreUnavailableError
from outrider.base.vocab import EventKind, RecipientStatus, Stream, SuppressionOrigin, SuppressionScope
from outrider.faces.smtp.inbound import InboundServer
from outrider.mail import arf, dsn, report
from outrider.mail.arf import Feedback
from outrider.mail.dsn import Diagnosis
from outrider.mail.verp import ExpiredError, ForgedError, Purpose, ReturnPath, ReturnPathError, Signer
from outrider.obs.metrics import Metrics
from outrider.services.inbound import ATTEMPTS_MAX, REPORTS_COUNT_MAX, Inbox, ReportReader
from outrider.services.leaving import Exits
from outrider.services.return_paths import BounceDomains
from outrider.store import events, queue, recipients, retention, suppressions
from outrider.store.events import Event
from outrider.store.pool import Store, StoreValueError
from outrider.store.recipients import Recipient, Record
from outrider.store.settings import StoreSettings
from outrider.store.suppressions import Asked, Suppression
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import Journal, Line, classifier, running
from outrider.testing.mailroom import SENDER_DOMAIN, Mail, Mailroom
from outrider.testing.postgres import make_folder

pytestmark = pytest.mark.newest

BOUNCES = "bounces.shop.example"
SHARED = "bounces.platform.example"
ANN = "ann@a.example"
HOST = "127.0.0.1"
GONE = Diagnosis(address=ANN, action="failed", status="5.1.1", code=550, text="no such user", remote_mta="mx.a.example")
RATE = Diagnosis(
    address=ANN, action="failed", status="5.7.1", code=553, text="[TSS04] Messages temporarily deferred due to volume"
)
LISTED = Diagnosis(
    address=ANN,
    action="failed",
    status="5.7.1",
    code=554,
    text="Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org",
)
AWAY = b"From: ann@a.example\r\nSubject: Out of office: Hello\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n"
CHALLENGE = (
    b"From: ann@a.example\r\nSubject: Please confirm your message\r\nAuto-Submitted: auto-replied\r\n\r\n"
    b"Your message is being held because your address is not known here.\r\n"
    b"To have it delivered, confirm that you are a person: reply to this message.\r\n"
)
LEAVE = b"From: ann@a.example\r\nSubject: unsubscribe\r\n\r\nunsubscribe\r\n"
NOTE = b"From: ann@a.example\r\nSubject: please\r\n\r\nTake me off, will you?\r\n"


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


class Room:
    """A mail that was delivered to Ann, what takes mail about it, and what reads that."""

    def __init__(self, store: Store, clock: RealClock, mail: Mail) -> None:
        self.store = store
        self.clock = clock
        self.mail = mail
        self.project_id = mail.message.project_id
        self.recipient_id = mail.recipient_ids[0]
        self.signer = Signer(bytes(32))
        self.journal = Journal()
        self.metrics = Metrics()
        self.domains = BounceDomains(store, shared_domain=SHARED, clock=clock, logger=self.journal.logger)
        self.inbox = self.inbox_of(store)
        self.reader = ReportReader(store, classifier(), clock=clock, logger=self.journal.logger, metrics=Metrics())

    def inbox_of(self, store: Store) -> Inbox:
        return Inbox(
            store,
            self.signer,
            self.domains,
            clock=self.clock,
            random_bits=random.SystemRandom().getrandbits,
            metrics=self.metrics,
        )

    def token(
        self,
        purpose: Purpose = Purpose.BOUNCE,
        *,
        days: int = 60,
        signer: Signer | None = None,
        domain: str = BOUNCES,
        recipient_id: UUID | None = None,
    ) -> str:
        expires_on = (self.clock.now() + timedelta(days=days)).date()
        return_path = ReturnPath(recipient_id or self.recipient_id, purpose, expires_on)
        return (signer or self.signer).mint(return_path, domain)

    async def keep(self, content: bytes, purpose: Purpose = Purpose.BOUNCE) -> None:
        if purpose is Purpose.FEEDBACK:  # As `Inbox.find_reported` finds it; that is tested beside this file.
            return_path = msgspec.structs.replace(self.inbox.check(self.token()), purpose=purpose)
        else:
            return_path = self.inbox.check(self.token(purpose))
        await self.inbox.keep(return_path, sender="", client=HOST, content=content)

    async def bring(self, content: bytes, purpose: Purpose = Purpose.BOUNCE) -> None:
        """Keep it and have it read."""
        await self.keep(content, purpose)
        assert await self.reader.read_batch() == 1

    async def kept_count(self) -> int:
        async with self.store.transaction() as tx:
            return len(await tx.fetch("SELECT FROM inbound"))

    async def recipient(self) -> Recipient:
        async with self.store.transaction() as tx:
            (found,) = await recipients.of_message(tx, self.project_id, self.mail.message.message_id)
        return found

    async def events(self) -> list[Event]:
        return [event for event in await self.log() if event.recipient_id is not None]

    async def log(self) -> Sequence[Event]:
        message = self.mail.message
        async with self.store.transaction() as tx:
            return await events.of_message(tx, self.project_id, message.message_id, accepted_at=message.accepted_at)

    async def entries(self, address_key: str = ANN) -> list[Suppression]:
        async with self.store.transaction() as tx:
            return await suppressions.of_address(tx, self.project_id, address_key)

    async def settle(self, status: RecipientStatus) -> None:
        async with self.store.transaction() as tx:
            await queue.finish(tx, [(self.recipient_id, 0)])
            record = Record(self.recipient_id, status, "accepted", "250 ok", 1)
            await recipients.record(tx, [record], now=self.clock.now())


@pytest.fixture
async def queued(store: Store, clock: RealClock) -> AsyncIterator[Room]:
    mailroom = Mailroom(store, clock)
    room = Room(store, clock, await mailroom.mail(await mailroom.project(), [ANN]))
    async with running(room.inbox):
        yield room


@pytest.fixture
async def room(queued: Room) -> Room:
    await queued.settle(RecipientStatus.DELIVERED)
    return queued


def bounce(*diagnoses: Diagnosis) -> bytes:
    return dsn.build(
        reporting_mta="mx.a.example",
        sender="MAILER-DAEMON@a.example",
        to="x@shop.example",
        date=RealClock().now(),
        message_id="1@a.example",
        diagnoses=diagnoses,
    )


def complaint(**fields: str) -> bytes:
    return arf.build(
        feedback=Feedback(**fields),
        sender="fbl@a.example",
        to="x@shop.example",
        date=RealClock().now(),
        message_id="2@a.example",
        original=b"Subject: Hello\r\nTo: ann@a.example\r\n",
    )


# Who may leave something.


async def test_only_our_own_token_is_taken_and_not_for_ever(room: Room) -> None:
    own = room.token()
    assert room.inbox.check(own.upper()).recipient_id == room.recipient_id
    forged = [
        room.token(signer=Signer(b"1" * 32)),
        own.replace(BOUNCES, "bounces.other.example"),  # Another project's domain.
        own.replace("bounce-", "unsubscribe-", 1),
        own.replace("bounce-", "bounce-0", 1),
        f"bounce@{BOUNCES}",
    ]
    for text in forged:
        with pytest.raises(ForgedError):
            room.inbox.check(text)
    with pytest.raises(ExpiredError):
        room.inbox.check(room.token(days=-1))


async def test_a_report_cannot_be_made_about_anybody_else(room: Room) -> None:
    """Not a single octet of whom it is about, until when, or under which domain can be another."""
    own = room.token()
    chance = random.Random(1)
    for _ in range(200):
        at = chance.randrange(len("bounce-"), len(own))
        other = own[:at] + chance.choice("0123456789abcdefghijklmnopqrstuv") + own[at + 1 :]
        if other != own:
            with pytest.raises(ForgedError):
                room.inbox.check(other)


async def test_so_many_reports_about_one_recipient_a_day(room: Room) -> None:
    for _ in range(REPORTS_COUNT_MAX):
        await room.keep(AWAY)
    with pytest.raises(ReturnPathError):
        room.inbox.check(room.token())
    room.inbox.check(room.token(Purpose.UNSUBSCRIBE))  # Counted by itself.
    room.clock.jump(86_400)
    room.inbox.check(room.token())


async def test_a_crowd_that_comes_at_once_is_counted_too(room: Room) -> None:
    async def one() -> bool:
        try:
            await room.keep(AWAY)
        except ReturnPathError:
            return False
        return True

    kept = await asyncio.gather(*(one() for _ in range(REPORTS_COUNT_MAX * 3)))
    assert (sum(kept), await room.kept_count()) == (REPORTS_COUNT_MAX, REPORTS_COUNT_MAX)


async def test_who_is_refused_at_rcpt_costs_the_database_nothing(room: Room) -> None:
    """All of it is answered beside a database that was never opened; `bench.inbound` counts transactions, too."""
    inbox = room.inbox_of(Store("postgresql:///nowhere", StoreSettings()))
    server = InboundServer(
        inbox, HOST, 0, host_name="mx.us.example", tls=None, clock=room.clock, log=room.journal.logger
    )
    bad = [room.token(days=-1), room.token(signer=Signer(b"1" * 32)), "x@y.example"] * 30
    await server.start()
    try:
        assert await asyncio.to_thread(_rcpt, server.port, bad) == {550}
        assert await asyncio.to_thread(_rcpt, server.port, [room.token()]) == {250}
    finally:
        await server.stop()


# On disk before the 250, and read however often somebody dies.


async def test_a_database_away_at_data_is_a_451_and_nothing_is_lost(
    room: Room, database_url: str, clock: RealClock
) -> None:
    line = Line(database_url, make_folder())
    async with line, Store(line.dsn, StoreSettings(pool_size=2)) as store:
        inbox = room.inbox_of(store)
        server = InboundServer(
            inbox, HOST, 0, host_name="mx.us.example", tls=None, clock=clock, log=room.journal.logger
        )
        await server.start()
        try:
            async with running(inbox):
                await line.cut()
                for _ in range(REPORTS_COUNT_MAX + 1):  # Failures are not counted against the token.
                    assert await asyncio.to_thread(_deliver, server.port, room.token(), AWAY) == 451
                assert await room.kept_count() == 0
                await line.mend()
                assert await asyncio.to_thread(_deliver, server.port, room.token(), AWAY) == 250
        finally:
            await server.stop()
    assert await room.kept_count() == 1


async def test_who_stops_keeping_says_so(room: Room) -> None:
    inbox = room.inbox_of(room.store)
    async with running(inbox):
        pass
    with pytest.raises(BusyError):
        await inbox.keep(inbox.check(room.token()), sender="", client=HOST, content=AWAY)


async def test_a_reader_killed_between_take_and_settle_leaves_it_to_the_next(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.keep(bounce(GONE))
    with monkeypatch.context() as patch:
        patch.setattr(report, "read", _dies)
        with pytest.raises(asyncio.CancelledError):
            await room.reader.read_batch()
    assert (await room.recipient()).status is RecipientStatus.DELIVERED
    assert await room.reader.read_batch() == 0
    room.clock.jump(60)
    assert await room.reader.read_batch() == 1
    assert (await room.recipient()).status is RecipientStatus.BOUNCED
    assert await room.kept_count() == 0


async def test_what_cannot_be_read_is_put_aside_and_holds_up_nobody(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = report.read

    def breaks(content: bytes) -> report.Report:
        if b"poison" in content:
            raise RuntimeError("a bug")
        return read(content)

    monkeypatch.setattr(report, "read", breaks)
    await room.keep(b"Subject: poison\r\n\r\n")
    await room.keep(AWAY)
    for _ in range(ATTEMPTS_MAX + 1):
        await room.reader.read_batch()
        room.clock.jump(3600)
    assert [event.kind for event in await room.events()] == ["auto_replied"]
    assert room.journal.count("inbound_not_read") == ATTEMPTS_MAX
    assert room.journal.count("inbound_put_aside") == 1
    room.clock.jump(86_400)
    assert await room.reader.read_batch() == 0
    assert await room.kept_count() == 1  # For somebody to look at.


async def test_what_the_database_refuses_stands_alone(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    append = events.append_after

    async def refuses(tx: Any, rows: Any) -> None:
        if any(row.reason == "challenge" or "away" in row.reply.lower() for row in rows):
            raise StoreValueError("The database refused a value.")
        await append(tx, rows)

    monkeypatch.setattr(events, "append_after", refuses)
    for content in (bounce(GONE), b"Subject: Away\r\nAuto-Submitted: auto-replied\r\n\r\nx\r\n", LEAVE):
        await room.keep(content)
    assert await room.reader.read_batch() == 3
    assert [event.kind for event in await room.events()] == ["bounced_late", "unsubscribed"]
    assert await room.kept_count() == 1
    assert room.journal.count("inbound_refused") == 1


async def test_two_readers_share_what_waits_and_count_nothing_twice(room: Room) -> None:
    for _ in range(REPORTS_COUNT_MAX):
        await room.keep(AWAY)
    other = ReportReader(room.store, classifier(), clock=room.clock, logger=room.journal.logger, metrics=Metrics())
    await asyncio.gather(room.reader.read_batch(), other.read_batch())
    while await room.reader.read_batch():
        pass
    assert len(await room.events()) == REPORTS_COUNT_MAX


async def test_it_reads_until_it_is_stopped(room: Room) -> None:
    async with running(room.reader):
        await room.keep(AWAY)
        async with asyncio.timeout(10):
            while not await room.events():
                await room.clock.sleep(0.01)


async def test_a_report_about_a_recipient_that_is_no_more_is_dropped(room: Room) -> None:
    expires_on = (room.clock.now() + timedelta(days=1)).date()
    gone = room.inbox.check(room.signer.mint(ReturnPath(UUID(int=5), Purpose.BOUNCE, expires_on), BOUNCES))
    await room.inbox.keep(gone, sender="", client=HOST, content=bounce(GONE))
    assert await room.reader.read_batch() == 1
    assert (await room.kept_count(), room.journal.count("inbound_about_nobody")) == (0, 1)


# What each does.


async def test_a_late_bounce_moves_delivered_to_bounced_with_event_and_suppression(room: Room) -> None:
    await room.bring(bounce(GONE))
    found = await room.recipient()
    assert (found.status, found.reason) == (RecipientStatus.BOUNCED, "recipient.invalid")
    assert found.reply == "550 5.1.1 no such user"
    (event,) = await room.events()
    assert (event.kind, event.reason, event.reply) == ("bounced_late", "recipient.invalid", found.reply)
    assert event.facts["suppressed"] == "all"
    assert (event.facts["remote_mta"], event.facts["client"]) == ("mx.a.example", HOST)
    (entry,) = await room.entries()
    assert (entry.scope, entry.reason, entry.origin) == (
        SuppressionScope.ALL, "recipient.invalid", SuppressionOrigin.REPORT
    )  # fmt: skip
    assert (entry.evidence, entry.recipient_id, entry.rule) == (found.reply, room.recipient_id, event.facts["rule"])


@pytest.mark.parametrize("module", [suppressions, events])
async def test_all_of_it_or_nothing(room: Room, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    async def fails(*_: Any) -> None:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(module, "put" if module is suppressions else "append_after", fails)
        with pytest.raises(StoreUnavailableError):
            await room.bring(bounce(GONE))
    assert (await room.recipient()).status is RecipientStatus.DELIVERED
    assert (await room.events(), await room.entries(), await room.kept_count()) == ([], [], 1)


async def test_a_bounce_before_its_mail_is_settled_waits_for_that(queued: Room) -> None:
    room = queued
    await room.bring(bounce(GONE))
    assert (await room.events(), await room.kept_count()) == ([], 1)
    await room.settle(RecipientStatus.DELIVERED)
    room.clock.jump(10)
    assert await room.reader.read_batch() == 1
    assert (await room.recipient()).status is RecipientStatus.BOUNCED
    assert len(await room.events()) == 1


async def test_a_bounce_of_a_mail_that_is_tried_for_long_is_believed_in_the_end(queued: Room) -> None:
    room = queued
    await room.keep(bounce(GONE))
    for _ in range(ATTEMPTS_MAX):
        await room.reader.read_batch()
        room.clock.jump(10)
    assert (await room.recipient()).status is RecipientStatus.QUEUED
    assert [event.kind for event in await room.events()] == ["bounced_late"]
    assert len(await room.entries()) == 1  # So the next look at its lane ends it.


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [(AWAY, "auto_replied", "auto_reply"), (CHALLENGE, "auto_replied", "recipient.challenge")],
)
async def test_an_answer_that_nobody_wrote_suppresses_nobody(
    room: Room, content: bytes, kind: str, reason: str
) -> None:
    await room.bring(content)
    assert [(event.kind, event.reason) for event in await room.events()] == [(kind, reason)]
    assert (await room.entries(), (await room.recipient()).status) == ([], RecipientStatus.DELIVERED)


async def test_a_delay_is_told_and_nothing_more(room: Room) -> None:
    await room.bring(bounce(msgspec.structs.replace(GONE, action="delayed", status="4.4.1", code=0, text="timed out")))
    assert [event.kind for event in await room.events()] == ["delayed"]
    assert (await room.entries(), (await room.recipient()).status) == ([], RecipientStatus.DELIVERED)


async def test_a_delay_that_says_nothing_is_not_unknown_for_good(room: Room) -> None:
    await room.bring(bounce(msgspec.structs.replace(GONE, action="delayed", status="", code=0, text="we go on")))
    assert [(event.kind, event.reason) for event in await room.events()] == [("delayed", "unknown.soft")]


@pytest.mark.parametrize("diagnosis", [RATE, LISTED])
async def test_a_bounce_for_what_is_our_own_fault_suppresses_nobody(room: Room, diagnosis: Diagnosis) -> None:
    for _ in range(REPORTS_COUNT_MAX):
        await room.bring(bounce(diagnosis))
    assert await room.entries() == []
    assert (await room.recipient()).status is RecipientStatus.BOUNCED  # It did not arrive, for all that.


async def test_of_several_recipients_the_one_that_failed_is_told(room: Room) -> None:
    fine = Diagnosis(address="list@a.example", action="expanded", status="2.0.0", text="expanded")
    await room.bring(bounce(fine, GONE))
    assert [event.reason for event in await room.events()] == ["recipient.invalid"]


@pytest.mark.parametrize(
    ("content", "purpose", "kind"),
    [
        (complaint(), Purpose.BOUNCE, "complained"),
        (complaint(), Purpose.FEEDBACK, "complained"),
        (complaint(), Purpose.UNSUBSCRIBE, "complained"),
        (complaint(type="opt-out"), Purpose.FEEDBACK, "unsubscribed"),
        (LEAVE, Purpose.BOUNCE, "unsubscribed"),
        (LEAVE, Purpose.UNSUBSCRIBE, "unsubscribed"),
        (NOTE, Purpose.UNSUBSCRIBE, "unsubscribed"),
        (b"", Purpose.UNSUBSCRIBE, "unsubscribed"),
    ],
)
async def test_a_reader_who_wants_no_more_gets_no_more_marketing_and_keeps_the_receipts(
    room: Room, content: bytes, purpose: Purpose, kind: str
) -> None:
    await room.bring(content, purpose)
    (event,) = await room.events()
    assert (event.kind, event.facts["suppressed"]) == (kind, "stream")
    (entry,) = await room.entries()
    assert (entry.subject, entry.origin, entry.expires_at) == (Stream.MARKETING, SuppressionOrigin.REQUEST, None)
    async with room.store.transaction() as tx:
        asked = [Asked(room.project_id, ANN, stream, SENDER_DOMAIN) for stream in Stream]
        found = await suppressions.among(tx, asked, now=room.clock.now())
    assert {one.stream for one in found} == {Stream.MARKETING}
    assert (await room.recipient()).status is RecipientStatus.DELIVERED


async def test_a_mail_to_the_unsubscribe_address_leaves_the_list_it_was_for(room: Room) -> None:
    async with room.store.transaction() as tx:
        message_id = room.mail.message.message_id
        await tx.execute("UPDATE message SET list_name = 'weekly' WHERE message_id = $1", message_id)
    await room.bring(NOTE, Purpose.UNSUBSCRIBE)
    (event,) = await room.events()
    assert (event.kind, event.facts["suppressed"], event.facts["list"]) == ("unsubscribed", "list", "weekly")
    (entry,) = await room.entries()
    assert (entry.scope, entry.subject) == (SuppressionScope.LIST, "weekly")


async def test_who_writes_again_or_has_left_by_the_link_is_no_news(room: Room) -> None:
    for _ in range(3):  # In one batch.
        await room.keep(NOTE, Purpose.UNSUBSCRIBE)
    assert await room.reader.read_batch() == 3
    await room.bring(LEAVE, Purpose.UNSUBSCRIBE)
    exits = Exits(room.store, room.signer, clock=room.clock)
    token = room.signer.mint_link(room.recipient_id, room.clock.now().date())
    assert (await exits.leave(token)).has_left
    assert [event.kind for event in await room.events()] == ["unsubscribed"]
    (entry,) = await room.entries()
    assert entry.evidence == "by mail: other; Subject: please"
    assert not (await exits.come_back(token)).has_left
    await exits.leave(token)
    await room.bring(NOTE, Purpose.UNSUBSCRIBE)
    assert [event.kind for event in await room.events()] == ["unsubscribed", "resubscribed", "unsubscribed"]


async def test_two_readers_of_one_wish_tell_it_once(room: Room) -> None:
    for _ in range(REPORTS_COUNT_MAX):
        await room.keep(NOTE, Purpose.UNSUBSCRIBE)
        await room.keep(complaint())
    other = ReportReader(room.store, classifier(), clock=room.clock, logger=room.journal.logger, metrics=Metrics())
    exits = Exits(room.store, room.signer, clock=room.clock)
    token = room.signer.mint_link(room.recipient_id, room.clock.now().date())
    await asyncio.gather(room.reader.read_batch(), other.read_batch(), exits.leave(token))
    while await room.reader.read_batch():
        pass
    assert [event.kind for event in await room.events()].count(EventKind.UNSUBSCRIBED) <= 1
    assert [entry.reason for entry in await room.entries()] == ["complaint"]


async def test_a_mail_to_the_unsubscribe_address_counts_when_its_mail_is_forgotten(room: Room) -> None:
    async with room.store.transaction() as tx:
        await tx.execute("UPDATE message SET stream = 'marketing' WHERE project_id = $1", room.project_id)
        before = room.clock.now() + timedelta(seconds=1)
        assert await retention.forget_mail(tx, room.project_id, before, now=room.clock.now(), count_max=1) == 1
    await room.bring(bounce(GONE))
    await room.bring(complaint())
    assert room.journal.count("inbound_about_nobody") == 2
    assert await room.entries() == []
    for _ in range(2):
        await room.bring(NOTE, Purpose.UNSUBSCRIBE)
    (entry,) = await room.entries()
    assert (entry.subject, entry.reason) == (Stream.MARKETING, "unsubscribe")
    (event,) = [event for event in await room.log() if event.kind is EventKind.UNSUBSCRIBED]
    assert (event.recipient_id, event.facts["address"]) == (None, ANN)
    assert await room.kept_count() == 0


@pytest.mark.parametrize(
    ("content", "purpose"),
    [
        (NOTE, Purpose.BOUNCE),
        (complaint(type="not-spam"), Purpose.BOUNCE),
        (complaint(type="auth-failure"), Purpose.FEEDBACK),
        (bounce(Diagnosis(address=ANN, action="delivered", status="2.0.0", text="ok")), Purpose.BOUNCE),
        (b"\0\xff" * 1000, Purpose.BOUNCE),
    ],
)
async def test_what_says_nothing_of_the_recipient_leaves_nothing(room: Room, content: bytes, purpose: Purpose) -> None:
    await room.bring(content, purpose)
    assert (await room.events(), await room.entries(), await room.kept_count()) == ([], [], 0)


async def test_a_machine_at_an_unsubscribe_address_is_no_wish(room: Room) -> None:
    for content in (CHALLENGE, bounce(msgspec.structs.replace(GONE, action="delayed", status="4.4.1"))):
        await room.bring(content, Purpose.UNSUBSCRIBE)
    assert await room.entries() == []


async def test_an_envelope_sender_that_is_no_text_is_kept(room: Room) -> None:
    return_path = room.inbox.check(room.token())
    await room.inbox.keep(return_path, sender="a\0\udcff@x.example", client=HOST, content=AWAY)
    assert await room.kept_count() == 1


def _dies(_: bytes) -> report.Report:
    raise asyncio.CancelledError


def _rcpt(port: int, addresses: list[str]) -> set[int]:
    with smtplib.SMTP(HOST, port, "client.example", timeout=10) as client:
        client.ehlo()
        client.docmd("MAIL FROM:<>")
        return {client.docmd(f"RCPT TO:<{address}>")[0] for address in addresses}


def _deliver(port: int, to: str, content: bytes) -> int:
    with smtplib.SMTP(HOST, port, "client.example", timeout=10) as client:
        client.ehlo()
        client.docmd("MAIL FROM:<>")
        assert client.docmd(f"RCPT TO:<{to}>")[0] == 250
        return client.data(content)[0]
