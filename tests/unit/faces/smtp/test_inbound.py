"""The inbound face over a real socket: whom it takes mail from, for whom, and that a 250 comes after the keeping."""

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import date
from uuid import UUID

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import BusyError, StoreUnavailableError
from outrider.faces.smtp.inbound import InboundServer
from outrider.mail import verp
from outrider.mail.verp import ForgedError, Purpose, ReturnPath, ReturnPathError
from outrider.net.selfsigned import SelfSigned
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import Journal
from tests.unit.faces.smtp.test_catch import Client

HOST = "127.0.0.1"
WAIT_S = 10.0
TOKEN = "bounce-1@bounces.shop.example"
FEEDBACK = "feedback@bounces.shop.example"
REPORT = b"Subject: Undelivered\r\n\r\n..dot\r\nover\r\n"


class Kept(msgspec.Struct, frozen=True):
    return_path: ReturnPath
    sender: str
    client: str
    content: bytes


class FakeInbox:
    """Knows `TOKEN` until it is told to forget it; keeps, or fails as it is told."""

    def __init__(self) -> None:
        self.known = {TOKEN}
        self.kept: list[Kept] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.knows_domains = True
        self.asked: asyncio.Event = asyncio.Event()

    def check(self, text: str) -> ReturnPath:
        if text.lower() not in self.known:
            raise ForgedError("no such return path")
        return ReturnPath(UUID(int=1), Purpose.BOUNCE, date(2030, 1, 1))

    def is_feedback(self, text: str) -> bool:
        if verp.feedback_domain(text) and not self.knows_domains:
            raise BusyError("not read yet")
        return text.lower() == FEEDBACK

    async def find_reported(self, text: str, content: bytes) -> ReturnPath:
        assert text.lower() == FEEDBACK
        if TOKEN.encode() not in content:
            raise ReturnPathError("no token of ours is in the report")
        return ReturnPath(UUID(int=1), Purpose.FEEDBACK, date(2030, 1, 1))

    async def keep(self, return_path: ReturnPath, *, sender: str, client: str, content: bytes) -> None:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.kept.append(Kept(return_path, sender, client, content))


class Face:
    """A server and those who talk to it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.inbox = FakeInbox()
        self.clock = FakeClock()
        self.journal = Journal()
        self._clients: list[Client] = []
        self.server = InboundServer(
            self.inbox, HOST, 0, host_name="mx.us.example", tls=tls, clock=self.clock, log=self.journal.logger
        )

    async def dial(self) -> Client:
        client = Client(*await asyncio.open_connection(HOST, self.server.port))
        self._clients.append(client)
        return client

    async def greeted(self) -> Client:
        client = await self.dial()
        await client.greet()
        return client

    async def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        await self.server.stop()


@pytest.fixture
async def face() -> AsyncIterator[Face]:
    made = Face()
    await made.server.start()
    yield made
    await made.close()


async def test_a_report_to_our_token_is_kept_as_it_came_before_the_250(face: Face) -> None:
    face.inbox.gate = asyncio.Event()
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    assert (await client.say(f"RCPT TO:<{TOKEN.upper()}>")).startswith("250 2.1.5")
    await client.say("DATA")
    client.writer.write(REPORT + b".\r\n")
    await face.inbox.asked.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await client.hear()
    face.inbox.gate.set()


async def test_many_reports_in_one_packet(face: Face) -> None:
    client = await face.greeted()
    one = b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n%s.\r\n" % (TOKEN.encode(), REPORT)
    client.writer.write(one * 3 + b"QUIT\r\n")
    said = [await client.hear() for _ in range(13)]
    assert [line[:3] for line in said] == ["250", "250", "354", "250"] * 3 + ["221"]
    assert [(kept.sender, kept.client) for kept in face.inbox.kept] == [("", HOST)] * 3
    assert face.inbox.kept[0].content == REPORT.replace(b"\r\n..", b"\r\n.")


async def test_it_offers_pipelining_and_neither_auth_nor_starttls_without_a_certificate(face: Face) -> None:
    words = {line[4:] for line in (await (await face.dial()).greet()).split("\n")[1:]}
    assert {f"SIZE {limits.INBOUND_MESSAGE_BYTES_MAX}", "8BITMIME", "SMTPUTF8", "PIPELINING"} <= words
    assert not any(word.startswith(("AUTH", "STARTTLS")) for word in words)
    client = await face.greeted()
    assert (await client.say("AUTH PLAIN AHUAcA=="))[0] == "5"


@pytest.mark.parametrize(
    "address",
    ["bounce-2@bounces.shop.example", "postmaster@us.example", "", "<>", "a@b@c", TOKEN + " X=Y", "bücher@x.example"],
)
async def test_who_is_not_ours_is_refused_at_rcpt(face: Face, address: str) -> None:
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    assert (await client.say(f"RCPT TO:<{address}>".encode()))[0] == "5"
    assert (await client.say("DATA"))[:3] == "503"
    assert face.inbox.kept == []


async def test_one_recipient_a_message_and_the_next_one_in_the_next(face: Face) -> None:
    face.inbox.known.add(other := "bounce-3@bounces.shop.example")
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    await client.say(f"RCPT TO:<{TOKEN}>")
    assert (await client.say(f"RCPT TO:<{other}>")).startswith("452 4.5.3")
    assert (await client.say("DATA"))[:3] == "354"
    assert (await client.say(REPORT + b".")).startswith("250 2.0.0")


async def test_mail_from_a_return_path_of_ours_goes_round(face: Face) -> None:
    client = await face.greeted()
    assert (await client.say(f"MAIL FROM:<{TOKEN}>")).startswith("554 5.4.6")
    assert (await client.say(f"RCPT TO:<{TOKEN}>"))[:3] == "503"


@pytest.mark.parametrize(("count", "code"), [(100, "250"), (101, "554")])
async def test_a_hundred_hops_are_no_loop_and_one_more_is(face: Face, count: int, code: str) -> None:
    client = await face.greeted()
    content = b"Received: from a by b\r\n" * count + b"\r\nReceived: in the body\r\n"
    assert (await client.send(content, "<>", f"<{TOKEN}>"))[:3] == code


async def test_of_a_bounce_with_all_of_our_mail_in_it_the_beginning_is_kept(face: Face) -> None:
    client = await face.greeted()
    head = b"Subject: Undelivered\r\n\r\nIt bounced.\r\n"
    line = b"y" * 76 + b"\r\n"
    content = head + line * (20 * 1024 * 1024 // len(line))
    assert (await client.say(f"MAIL FROM:<> SIZE={len(content)}"))[:3] == "250"
    assert (await client.say("RSET"))[:3] == "250"
    assert (await client.send(content, "<>", f"<{TOKEN}>"))[:3] == "250"
    assert (await client.send(REPORT, "<>", f"<{TOKEN}>"))[:3] == "250"
    large, small = (one.content for one in face.inbox.kept)
    assert large == content[: limits.REPORT_BYTES_MAX]
    assert small == REPORT.replace(b"\r\n..", b"\r\n.")


async def test_a_line_without_end_is_no_reason_to_lose_a_bounce(face: Face) -> None:
    client = await face.greeted()
    content = b"Subject: x\r\n\r\n" + b"z" * (3 * limits.CAUGHT_LINE_BYTES_MAX) + b"\r\n"
    assert (await client.send(content, "<>", f"<{TOKEN}>"))[:3] == "250"
    assert face.inbox.kept[0].content == content


def test_what_ours_may_be_fits_into_a_bounce() -> None:
    assert limits.INBOUND_MESSAGE_BYTES_MAX >= limits.CAUGHT_MESSAGE_BYTES_MAX + limits.REPORT_BYTES_MAX


async def test_a_mail_too_large_is_refused_when_it_is_announced_and_when_it_comes(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INBOUND_MESSAGE_BYTES_MAX", 1024 * 1024)
    client = await face.greeted()
    too_many = limits.INBOUND_MESSAGE_BYTES_MAX + 1
    assert (await client.say(f"MAIL FROM:<> SIZE={too_many}"))[:3] == "552"
    content = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
    content += (b"y" * 70 + b"\r\n") * (too_many // 72)
    assert (await client.send(content, "<>", f"<{TOKEN}>"))[:3] == "552"
    assert face.inbox.kept == []
    assert (await client.send(REPORT, "<>", f"<{TOKEN}>"))[:3] == "250"


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), BusyError("full")])
async def test_what_cannot_be_kept_is_to_be_sent_again(face: Face, error: Exception) -> None:
    client = await face.greeted()
    face.inbox.error = error
    assert (await client.send(REPORT, "<>", f"<{TOKEN}>")).startswith("451 4.3.0")
    assert face.journal.count("inbound_not_kept") == 1
    face.inbox.error = None
    assert (await client.send(REPORT, "<>", f"<{TOKEN}>")).startswith("250 2.0.0")
    assert len(face.inbox.kept) == 1


async def test_a_bug_of_ours_is_no_final_answer_and_tells_nothing(face: Face) -> None:
    client = await face.greeted()
    face.inbox.error = RuntimeError("/secret/path")
    assert await client.send(REPORT, "<>", f"<{TOKEN}>") == "451 4.3.0 Something went wrong here"
    assert face.journal.count("inbound_conversation_failed") == 1


async def test_a_token_used_up_between_rcpt_and_data_is_refused(face: Face) -> None:
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    await client.say(f"RCPT TO:<{TOKEN}>")
    face.inbox.known.clear()
    await client.say("DATA")
    assert (await client.say(REPORT + b"."))[:3] == "550"


async def test_a_feedback_loops_report_is_kept_if_a_token_is_in_it_and_refused_if_not(face: Face) -> None:
    client = await face.greeted()
    reported = b"Return-Path: <%s>\r\n%s" % (TOKEN.encode(), REPORT)
    assert await client.send(REPORT, "<fbl@isp.example>", f"<{FEEDBACK}>") == (
        "550 5.7.1 This report is not about mail from here"
    )
    assert face.inbox.kept == []
    assert (await client.send(reported, "<fbl@isp.example>", f"<{FEEDBACK.upper()}>")).startswith("250 2.0.0")
    (kept,) = face.inbox.kept
    assert (kept.return_path.purpose, kept.sender) == (Purpose.FEEDBACK, "fbl@isp.example")
    assert kept.content == reported.replace(b"\r\n..", b"\r\n.")


@pytest.mark.parametrize(
    "address",
    ["feedback@other.example", "feedback+x@bounces.shop.example", "feedback@", "xfeedback@bounces.shop.example"],
)
async def test_a_feedback_address_of_nobody_is_refused_at_rcpt(face: Face, address: str) -> None:
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    assert (await client.say(f"RCPT TO:<{address}>"))[0] == "5"


async def test_before_the_domains_are_known_no_report_is_turned_away_for_good_and_tokens_are_taken(face: Face) -> None:
    client = await face.greeted()
    face.inbox.knows_domains = False
    await client.say("MAIL FROM:<>")
    assert (await client.say(f"RCPT TO:<{FEEDBACK}>")).startswith("451 4.3.0")
    assert (await client.say(f"RCPT TO:<{TOKEN}>"))[:3] == "250"
    assert face.inbox.kept == []


async def test_who_only_sends_reports_about_nothing_is_hung_up_on(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOUND_REFUSED_COUNT_MAX", 2)
    client = await face.greeted()
    said = [await client.send(REPORT, "<>", f"<{FEEDBACK}>") for _ in range(3)]
    assert [line[:9] for line in said] == ["550 5.7.1", "550 5.7.1", "421 4.7.0"]
    assert await client.hear() == ""


async def test_who_sends_many_reports_about_nothing_waits_a_minute_with_reports_and_not_with_tokens(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INBOUND_REPORTS_REFUSED_A_MINUTE_COUNT_MAX", 2)
    client = await face.greeted()
    for _ in range(2):
        assert (await client.send(REPORT, "<>", f"<{FEEDBACK}>"))[:3] == "550"
    other = await face.greeted()
    await other.say("MAIL FROM:<>")
    assert (await other.say(f"RCPT TO:<{FEEDBACK}>")).startswith("451 4.7.1")
    assert (await other.say(f"RCPT TO:<{TOKEN}>"))[:3] == "250"
    face.clock.advance(60)
    reported = b"Return-Path: <%s>\r\n%s" % (TOKEN.encode(), REPORT)
    for _ in range(3):
        assert (await client.send(reported, "<>", f"<{FEEDBACK}>"))[:3] == "250"


async def test_a_feedback_report_that_is_ten_times_too_large_is_not_even_searched(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INBOUND_MESSAGE_BYTES_MAX", 1024 * 1024)
    client = await face.greeted()
    content = (b"y" * 70 + b"\r\n") * (10 * limits.INBOUND_MESSAGE_BYTES_MAX // 72)
    assert (await client.send(content, "<>", f"<{FEEDBACK}>"))[:3] == "552"
    assert face.inbox.kept == []


async def test_what_the_log_says_of_a_bug_has_no_token_in_it(face: Face) -> None:
    secret = "bounce-" + "0123456789abcdefghijklmnopqrstuv" + "0123456789abcdef" + "@bounces.shop.example"
    face.inbox.known.add(secret)
    client = await face.greeted()
    face.inbox.error = RuntimeError(f"cannot take {secret.upper()}")
    assert (await client.send(REPORT, "<>", f"<{secret}>"))[:3] == "451"
    (line,) = [line for line in face.journal.lines if line["event"] == "inbound_conversation_failed"]
    assert "0123456789abcdef" not in line["reason"].lower()
    assert "bounces.shop.example" in line["reason"].lower()


async def test_one_client_has_so_many_conversations_and_gets_more_when_it_ends_some(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INBOUND_CONVERSATIONS_OF_ONE_COUNT_MAX", 2)
    first, _ = await face.greeted(), await face.greeted()
    assert (await (await face.dial()).hear()).startswith("421 4.3.2")
    assert (await first.say("QUIT"))[:3] == "221"
    await until(lambda: len(face.server.conversations) == 1)
    await face.greeted()


async def test_all_together_have_so_many_conversations(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOUND_CONVERSATIONS_COUNT_MAX", 1)
    await face.greeted()
    assert (await (await face.dial()).hear()).startswith("421 4.3.2")


async def test_who_sends_too_fast_has_to_wait_a_minute(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INBOUND_OF_ONE_A_MINUTE_COUNT_MAX", 2)
    client = await face.greeted()
    for _ in range(2):
        assert (await client.send(REPORT, "<>", f"<{TOKEN}>"))[:3] == "250"
    assert (await client.say("MAIL FROM:<>")).startswith("451 4.7.1")
    other = await face.greeted()
    assert (await other.say("MAIL FROM:<>")).startswith("451 4.7.1")
    face.clock.advance(60)
    assert (await client.say("MAIL FROM:<>"))[:3] == "250"


async def test_who_only_guesses_is_hung_up_on(face: Face) -> None:
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    said = [await client.say("RCPT TO:<x@y.example>") for _ in range(limits.INBOUND_REFUSED_COUNT_MAX + 1)]
    assert {line[:3] for line in said[:-1]} == {"550"}
    assert said[-1].startswith("421 4.7.0")
    assert await client.hear() == ""
    await until(lambda: not face.server.conversations)


async def test_an_address_that_is_no_text_is_kept_out_of_trouble(face: Face) -> None:
    client = await face.greeted()
    assert (await client.send(REPORT, "<a\xff@x.example>", f"<{TOKEN}>"))[:3] in ("250", "553")


async def test_starttls_with_a_certificate() -> None:
    face = Face(SelfSigned("mx.us.example").context)
    await face.server.start()

    def talk() -> bool:
        with smtplib.SMTP(HOST, face.server.port, "client.example", timeout=WAIT_S) as client:
            client.ehlo()
            assert client.has_extn("starttls")
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            has_auth = client.has_extn("auth") or client.has_extn("starttls")
            assert client.sendmail("", [TOKEN], REPORT) == {}
            return has_auth

    try:
        async with asyncio.timeout(WAIT_S):
            assert not await asyncio.to_thread(talk)
        assert [(kept.sender, kept.client) for kept in face.inbox.kept] == [("", HOST)]
        await until(lambda: not face.server.conversations and not face.server._by_client)
    finally:
        await face.close()


async def test_stopping_ends_every_conversation_and_nothing_unkept_is_answered_250(face: Face) -> None:
    face.inbox.gate = asyncio.Event()
    client = await face.greeted()
    await client.say("MAIL FROM:<>")
    await client.say(f"RCPT TO:<{TOKEN}>")
    await client.say("DATA")
    client.writer.write(REPORT + b".\r\n")
    await face.inbox.asked.wait()
    await face.server.stop()
    await face.server.stop()
    try:
        assert await client.hear() == ""
    except ConnectionError:
        assert not face.inbox.kept


async def until(is_so: Callable[[], bool]) -> None:
    """Return when it is so; the server hears of an ended connection a moment later."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():
            await asyncio.sleep(0)
