"""The fixed address of feedback loops: it takes what has a token of ours in it, and nothing else."""

import asyncio
import base64
import smtplib
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from outrider.base.errors import BusyError
from outrider.base.vocab import RecipientStatus, Stream, SuppressionOrigin
from outrider.faces.smtp.inbound import InboundServer
from outrider.mail import arf
from outrider.mail.arf import Feedback
from outrider.mail.verp import Purpose, ReturnPathError, Signer
from outrider.services.inbound import REPORTS_COUNT_MAX, NotTaken
from outrider.services.return_paths import BounceDomains
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.testing.clock import FakeClock, RealClock
from outrider.testing.engineroom import Journal, Line, running
from outrider.testing.mailroom import Mailroom
from outrider.testing.postgres import make_folder
from tests.store.test_services_inbound import ANN, BOUNCES, HOST, NOTE, SHARED, Room

pytestmark = pytest.mark.newest

OTHERS = "bounces.other.example"
OWN, PLATFORM, FOREIGN = (f"feedback@{domain}" for domain in (BOUNCES, SHARED, OTHERS))
BOB_ID = UUID(int=2)


@pytest.fixture
def clock() -> RealClock:
    return RealClock()


@pytest.fixture
async def room(store: Store, clock: RealClock) -> AsyncIterator[Room]:
    """A mail that Ann got, of a project with a bounce domain of its own; another project has another."""
    mailroom = Mailroom(store, clock)
    project_id, other_id = await mailroom.project("shop"), await mailroom.project("other")
    async with store.transaction() as tx:
        await projects.set_bounce_domain(tx, project_id, BOUNCES)
        await projects.set_bounce_domain(tx, other_id, OTHERS)
    room = Room(store, clock, await mailroom.mail(project_id, [ANN]))
    await room.settle(RecipientStatus.DELIVERED)
    await room.domains.load()
    async with running(room.inbox):
        yield room


def complaint(*lines: str, mail_from: str = "", body: bytes = b"") -> bytes:
    """A report from which everybody's name has been blanked out, of a mail with these header fields."""
    original = "".join(f"{line}\r\n" for line in ("To: redacted@redacted", *lines)).encode()
    return arf.build(
        feedback=Feedback(original_mail_from=mail_from, original_rcpt_to="redacted@a.example"),
        sender="fbl@a.example",
        to=OWN,
        date=RealClock().now(),
        message_id="3@a.example",
        original=original + b"\r\n" + body,
    )


async def why_not(room: Room, content: bytes, to: str = OWN) -> str:
    """Return why it is not taken; "" if it is."""
    assert room.inbox.is_feedback(to)
    try:
        found = await room.inbox.find_reported(to, content)
    except ReturnPathError as error:
        reason = str(error.detail["reason"])
        assert f'outrider_feedback_refused_total{{reason="{reason}"}}' in room.metrics.render().decode()
        return reason
    assert (found.recipient_id, found.purpose) == (room.recipient_id, Purpose.FEEDBACK)
    return ""


# A complaint comes in.


async def test_a_complaint_with_all_names_blanked_out_is_the_right_recipients(room: Room) -> None:
    server = InboundServer(
        room.inbox, HOST, 0, host_name="mx.us.example", tls=None, clock=room.clock, log=room.journal.logger
    )
    await server.start()
    try:
        content = complaint(f"Return-Path: <{room.token()}>")
        assert await asyncio.to_thread(_deliver, server.port, [OWN.upper()], content) == [250]
        assert await asyncio.to_thread(_deliver, server.port, [OWN], complaint("Subject: x")) == [550]
    finally:
        await server.stop()
    assert await room.kept_count() == 1, "what is refused is not stored"
    assert await room.reader.read_batch() == 1
    (event,) = await room.events()
    assert (event.kind, event.recipient_id, event.facts["suppressed"]) == ("complained", room.recipient_id, "stream")
    (entry,) = await room.entries()
    assert (entry.subject, entry.origin) == (Stream.MARKETING, SuppressionOrigin.REQUEST)
    assert 'inbound_mails_total{purpose="feedback"} 1.0' in room.metrics.render().decode()
    assert room.token().partition("@")[0] not in str(room.journal.lines)


async def test_any_of_the_recipients_tokens_in_any_place_is_enough(room: Room) -> None:
    bounce, leave = room.token(), room.token(Purpose.UNSUBSCRIBE)
    folded = base64.encodebytes(f"Their mail came from {bounce}.".encode())
    in_base64 = b"Subject: x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + folded
    for content in (
        complaint(mail_from=bounce),
        complaint(f"List-Unsubscribe: <mailto:{leave}?subject=unsubscribe>"),
        complaint(f"List-Unsubscribe: <mailto:{leave}>", f"Return-Path: <{bounce}>"),
        complaint(f"X-Odd: {bounce.upper()}"),
        f"Subject: complaint\r\n\r\nabout mail from {bounce}\r\n".encode(),
        in_base64,
    ):
        assert await why_not(room, content) == ""


async def test_to_quote_a_way_to_unsubscribe_is_not_to_unsubscribe(room: Room) -> None:
    """What is no report says nothing of the recipient, though at the unsubscribe address it would."""
    content = NOTE + f"List-Unsubscribe: <mailto:{room.token(Purpose.UNSUBSCRIBE)}>\r\n".encode()
    found = await room.inbox.find_reported(OWN, content)
    await room.inbox.keep(found, sender="", client=HOST, content=content)
    assert await room.reader.read_batch() == 1
    assert (await room.events(), await room.entries()) == ([], [])


# Attacks.


async def test_what_is_not_ours_is_refused_with_its_reason(room: Room) -> None:
    forged = room.token(signer=Signer(b"1" * 32))
    expired = room.token(days=-1)
    cases: Sequence[tuple[bytes, str]] = (
        (complaint("Subject: x"), NotTaken.NONE),
        (b"", NotTaken.NONE),
        (b"y" * 10_000_000 + room.token().encode(), NotTaken.NONE),
        (complaint(mail_from=forged), NotTaken.FORGED),
        (complaint(mail_from=room.token().replace(BOUNCES, OTHERS)), NotTaken.FORGED),
        (complaint(mail_from=expired), NotTaken.EXPIRED),
        (complaint(mail_from=room.token(domain=OTHERS)), NotTaken.FOREIGN),
        (complaint(mail_from=room.token(domain=SHARED)), NotTaken.FOREIGN),
    )
    for content, reason in cases:
        assert await why_not(room, content) == reason
    assert await room.kept_count() == 0


async def test_a_project_s_address_takes_no_other_project_s_token_and_the_operators_takes_all(room: Room) -> None:
    for domain in (BOUNCES, OTHERS, SHARED):
        content = complaint(f"Return-Path: <{room.token(domain=domain)}>")
        assert await why_not(room, content, PLATFORM) == ""
        assert (await why_not(room, content, OWN) == "") == (domain == BOUNCES)
        assert (await why_not(room, content, FOREIGN) == "") == (domain == OTHERS)


async def test_two_recipients_in_one_place_are_none_and_the_envelope_goes_before_what_is_quoted(room: Room) -> None:
    own, bobs = room.token(), room.token(recipient_id=BOB_ID)
    assert await why_not(room, complaint(f"Return-Path: <{own}>", mail_from=bobs)) == NotTaken.AMBIGUOUS
    assert await why_not(room, complaint(body=f"{own} {bobs}".encode())) == NotTaken.AMBIGUOUS
    assert await why_not(room, complaint(mail_from=own, body=bobs.encode())) == ""


async def test_a_mail_that_is_not_ours_to_judge_is_not_another_that_it_quotes(room: Room) -> None:
    quoted = room.token().encode()
    stale, others = room.token(days=-1, recipient_id=BOB_ID), room.token(domain=OTHERS, recipient_id=BOB_ID)
    assert await why_not(room, complaint(mail_from=stale, body=quoted)) == NotTaken.EXPIRED
    assert await why_not(room, complaint(mail_from=others, body=quoted)) == NotTaken.FOREIGN
    forged = room.token(signer=Signer(b"1" * 32), recipient_id=BOB_ID)
    assert await why_not(room, complaint(mail_from=forged, body=quoted)) == "", "anybody can write that: it is nothing"


async def test_a_header_made_to_look_like_two_is_one(room: Room) -> None:
    own, bobs = room.token(), room.token(recipient_id=BOB_ID)
    injected = complaint(
        f"Subject: x\r\n Return-Path: <{bobs}>\r\n\tOriginal-Mail-From: <{bobs}>", f"Return-Path: <{own}>"
    )
    assert await why_not(room, injected) == ""


async def test_so_many_reports_about_one_recipient_a_day(room: Room) -> None:
    content = complaint(mail_from=room.token())
    for _ in range(REPORTS_COUNT_MAX):
        found = await room.inbox.find_reported(OWN, content)
        await room.inbox.keep(found, sender="", client=HOST, content=content)
    assert await why_not(room, content) == NotTaken.OFTEN
    room.inbox.check(room.token())  # Bounces are counted by themselves.
    room.clock.jump(86_400)
    assert await why_not(room, content) == ""


# Which addresses there are.


async def test_which_domains_have_one_is_asked_of_memory(room: Room) -> None:
    async with room.store.transaction() as tx:
        await projects.set_bounce_domain(tx, room.project_id, "new.shop.example")
    assert not room.inbox.is_feedback("feedback@new.shop.example")
    assert room.inbox.is_feedback(OWN)
    await room.domains.load()
    assert room.inbox.is_feedback("feedback@new.shop.example")
    for text in (OWN, "feedback@", "feedback", "feedback@x.example", room.token(), f"a@{BOUNCES}", OWN + "\r\nX: y"):
        assert not room.inbox.is_feedback(text), text


async def test_a_flood_to_unknown_domains_costs_the_database_nothing(room: Room) -> None:
    """All of it is answered beside a database that was never opened."""
    domains = BounceDomains(
        Store("postgresql:///nowhere", StoreSettings()), shared_domain=SHARED, clock=room.clock, logger=Journal().logger
    )
    assert domains.has(SHARED)
    with pytest.raises(BusyError):
        domains.has("guess.example")
    server = InboundServer(
        room.inbox_of(Store("postgresql:///nowhere", StoreSettings())),
        HOST, 0, host_name="mx.us.example", tls=None, clock=room.clock, log=room.journal.logger,
    )  # fmt: skip
    await server.start()
    try:
        guesses = [f"feedback@guess{number}.example" for number in range(90)]
        assert set(await asyncio.to_thread(_deliver, server.port, guesses, None)) == {550}
        assert await asyncio.to_thread(_deliver, server.port, [OWN], None) == [250]
    finally:
        await server.stop()


async def test_while_the_database_is_away_the_last_known_domains_stand(database_url: str) -> None:
    clock, journal = FakeClock(), Journal()
    line = Line(database_url, make_folder())
    async with line, Store(line.dsn, StoreSettings(pool_size=1)) as store:
        domains = BounceDomains(store, shared_domain="", clock=clock, logger=journal.logger)
        async with running(domains):
            await clock.wait_for_sleepers(1)
            assert not domains.has(BOUNCES)
            assert not domains.has("")
            await line.cut()
            for _ in range(2):
                clock.advance(30)
                await clock.wait_for_sleepers(1)
            assert not domains.has(BOUNCES)
            assert journal.count("bounce_domains_not_read") == 1, "once an outage"
            await line.mend()
            clock.advance(30)
            await clock.wait_for_sleepers(1)
            assert journal.count("bounce_domains_not_read") == 1


def _deliver(port: int, recipients: Sequence[str], content: bytes | None) -> list[int]:
    """Return what is answered to each recipient, or to the content, if there is any."""
    with smtplib.SMTP(HOST, port, "client.example", timeout=10) as client:
        client.ehlo()
        client.docmd("MAIL FROM:<fbl@a.example>")
        said = [client.docmd(f"RCPT TO:<{recipient}>")[0] for recipient in recipients]
        return said if content is None else [client.data(content)[0]]
