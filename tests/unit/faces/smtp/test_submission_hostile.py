"""What strangers, and customers who mean harm, say to the relay: all of it is refused or harmless, and costs no memory.

Every case is one conversation on a socket. `stranger` never logs in; `user` has. A case says what is sent, the code of
the last reply, and how many submissions come of it: for strangers always none. After each, an honest client is served.
"""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from outrider.base import limits, networks
from outrider.testing import usage
from tests.unit.faces.smtp.relay_room import MAIL, PLAIN, RelayRoom, trusting
from tests.unit.faces.smtp.test_catch import Client

WAIT_S = 10.0
EHLO = b"EHLO x.example\r\n"
FROM = b"MAIL FROM:<a@shop.example>\r\n"
ALL = EHLO + FROM + b"RCPT TO:<b@victim.example>\r\nDATA\r\n" + MAIL + b".\r\n"
QUIT = b"QUIT\r\n"


class Case(msgspec.Struct, frozen=True):
    name: str
    says: bytes
    code: str  # Of the last reply; "": hung up on without one.
    count: int = 0  # Submissions that come of it.


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


STRANGERS = [
    Case("everything at once", ALL + QUIT, "221"),
    Case("mail before ehlo", FROM + QUIT, "221"),
    Case("mail before auth", EHLO + FROM, "530"),
    Case("null sender before auth", EHLO + b"MAIL FROM:<>\r\n", "530"),
    Case("recipient before auth", EHLO + b"RCPT TO:<b@victim.example>\r\n", "503"),
    Case("data before auth", EHLO + b"DATA\r\n", "503"),
    Case("postmaster before auth", EHLO + b"MAIL FROM:<postmaster>\r\n", "530"),
    Case("ehlo pipelined with all", ALL * 3 + QUIT, "421"),
    Case("bdat", EHLO + b"BDAT 5 LAST\r\nhello\r\n", "502"),
    Case("send from long ago", EHLO + b"SEND FROM:<a@b.example>\r\n", "502"),
    Case("soml", EHLO + b"SOML FROM:<a@b.example>\r\n", "502"),
    Case("turn", EHLO + b"TURN\r\n", "502"),
    Case("etrn", EHLO + b"ETRN victim.example\r\n", "502"),
    Case("expn", EHLO + b"EXPN staff\r\n", "502"),
    Case("vrfy says nothing", EHLO + b"VRFY root\r\n", "252"),
    Case("xclient", EHLO + b"XCLIENT ADDR=127.0.0.1 LOGIN=admin\r\n", "502"),
    Case("xforward", EHLO + b"XFORWARD NAME=trusted\r\n", "502"),
    Case("proxy protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 25\r\n" + EHLO + FROM, "530"),
    Case("lhlo", b"LHLO x\r\n", "502"),
    Case("mail auth parameter", EHLO + b"MAIL FROM:<a@b.example> AUTH=admin\r\n", "530"),
    Case("browser", b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + ALL, "500"),
    Case("browser get", b"GET /\r\n" + ALL, "500"),
    Case("tls hello in the clear", b"\x16\x03\x01\x02\x00\x01\x00\r\n" + ALL, "500"),
    Case("ssh", b"SSH-2.0-x\r\n", "502"),
    Case("bare lf ends commands", b"EHLO x\nMAIL FROM:<a@b.example>\n", "500"),
    Case("bare cr in a command", b"EHLO x\rMAIL FROM:<a@b.example>\r\n", "500"),
    Case("nul in a command", b"EHLO \0x\r\n", "500"),
    Case("endless line", b"EHLO " + b"x" * 20_000, "500"),
    Case("endless line of auth", EHLO + b"AUTH PLAIN " + b"A" * 20_000, "500"),
    Case("latin-1", b"EHLO \xe4\r\n", "501"),
    Case("auth twice in one line", EHLO + b"AUTH PLAIN PLAIN\r\n", "501"),
    Case("auth cram", EHLO + b"AUTH CRAM-MD5\r\n", "504"),
    Case("auth external", EHLO + b"AUTH EXTERNAL =\r\n", "504"),
    Case("auth for somebody else", EHLO + b"AUTH PLAIN " + b64(b"admin\0key1\0secret1") + b"\r\n", "501"),
    Case("auth without a password", EHLO + b"AUTH PLAIN " + b64(b"\0key1") + b"\r\n", "501"),
    Case("auth with more parts", EHLO + b"AUTH PLAIN " + b64(b"\0key1\0secret1\0x") + b"\r\n", "501"),
    Case("mail inside of auth", EHLO + b"AUTH LOGIN\r\n" + FROM, "501"),
    Case("auth before ehlo", PLAIN.encode() + b"\r\n", "503"),
    Case("errors without end", b"WHAT\r\n" * 1000, "421"),
    Case("noops without end", b"NOOP\r\n" * 5000, "421"),
    Case("helos without end", EHLO * 5000, "421"),
]
IN = EHLO + PLAIN.encode() + b"\r\n"
START = IN + FROM
REST = MAIL + b".\r\n"
GO = b"RCPT TO:<b@partner.example>\r\nDATA\r\n"
EVIL = b"MAIL FROM:<ceo@shop.example>\r\nRCPT TO:<victim@x.example>\r\nDATA\r\n" + MAIL + b".\r\n"
USERS = [
    Case("source route", START + b"RCPT TO:<@a.example,@b.example:c@d.example>\r\n", "553"),
    Case("percent hack without a domain", START + b"RCPT TO:<victim%x.example>\r\n", "553"),
    Case("bang path", START + b"RCPT TO:<x.example!victim>\r\n", "553"),
    Case("two ats", START + b"RCPT TO:<victim@x.example@shop.example>\r\n", "553"),
    Case("two ats, quoted", START + b'RCPT TO:<"victim@x.example"@>\r\n', "553"),
    Case("address literal", START + b"RCPT TO:<victim@[127.0.0.1]>\r\n", "553"),
    Case("literal of ipv6", START + b"RCPT TO:<victim@[IPv6:::1]>\r\n", "553"),
    Case("no dot in the domain", START + b"RCPT TO:<root@localhost>\r\n", "553"),
    Case("a number for a domain", START + b"RCPT TO:<root@127.0.0.1>\r\n", "553"),
    Case("empty recipient", START + b"RCPT TO:<>\r\n", "553"),
    Case("two recipients in one", START + b"RCPT TO:<a@b.example,c@d.example>\r\n", "553"),
    Case("a recipient behind another", START + b"RCPT TO:<a@b.example> <c@d.example>\r\n", "501"),
    Case("a quote that ends nowhere", START + b'RCPT TO:<"a@b.example>\r\n', "501"),
    Case("escaped end of line", START + b"RCPT TO:<a\\\r\n@b.example>\r\n", "502"),
    Case("utf-8 without asking", START + "RCPT TO:<ä@b.example>\r\n".encode(), "553"),
    Case("bidi in an address", IN + "MAIL FROM:<a\u202eb@c.example> SMTPUTF8\r\n".encode(), "553"),
    Case("long local part", START + b"RCPT TO:<" + b"a" * 65 + b"@b.example>\r\n", "553"),
    Case("nul in a sender", IN + b"MAIL FROM:<a\0b@c.example>\r\n", "500"),
    Case("sender without an end", IN + b"MAIL FROM:<" + b"a" * 300 + b"@c.example>\r\n", "553"),
    Case("sender in a sender", IN + b"MAIL FROM:<a <b@c.example>>\r\n", "501"),
    Case("null sender", IN + b"MAIL FROM:<>\r\n" + GO + REST, "250", 1),
    Case("percent hack in a local part", START + b"RCPT TO:<v%x.example@p.example>\r\nDATA\r\n" + REST, "250", 1),
    Case("quoted local part", START + b'RCPT TO:<"v@x.example"@p.example>\r\nDATA\r\n' + REST, "250", 1),
    Case("two mails at once", START + FROM, "503"),
    Case("auth inside of a mail", START + PLAIN.encode() + b"\r\n", "503"),
    Case("data without a recipient", START + b"DATA\r\n", "554"),
    Case("size of a terabyte", IN + b"MAIL FROM:<a@shop.example> SIZE=1099511627776\r\n", "552"),
    Case("size that is no number", IN + b"MAIL FROM:<a@shop.example> SIZE=-1\r\n", "501"),
    Case("no from", START + GO + b"Subject: x\r\n\r\nx\r\n.\r\n", "550"),
    Case("two froms", START + GO + b"From: a@shop.example\r\nFrom: b@shop.example\r\n\r\nx\r\n.\r\n", "550"),
    Case("from of two without a comma", START + GO + b"From: a@b.example <c@d.example> <e@f>\r\n\r\n.\r\n", "550"),
    Case("a hundred hops", START + GO + b"Received: x\r\n" * 101 + REST, "554"),
    Case("a header of megabytes", START + GO + b"X: " + b"y" * 2_000_000 + b"\r\n" + REST, "550"),
    Case("fields without end", START + GO + b"X: y\r\n" * 5000 + REST, "550"),
    Case("smuggled: lf . lf", START + GO + MAIL + b"\n.\n" + EVIL, "250", 1),
    Case("smuggled: lf . crlf", START + GO + MAIL + b"\n.\r\n" + EVIL, "250", 1),
    Case("smuggled: crlf . lf", START + GO + MAIL + b"\r\n.\n" + EVIL, "250", 1),
    Case("smuggled: cr . cr", START + GO + MAIL + b"\r.\r" + EVIL, "250", 1),
    Case("smuggled: crlf . cr", START + GO + MAIL + b"\r\n.\r" + EVIL, "250", 1),
    Case("smuggled: cr lf apart", START + GO + MAIL + b"\r\r\n.\r\r\n" + EVIL, "250", 1),
    Case("smuggled: crlf nul . crlf", START + GO + MAIL + b"\r\n\0.\r\n" + EVIL, "250", 1),
    Case("smuggled: crlf . nul crlf", START + GO + MAIL + b"\r\n.\0\r\n" + EVIL, "250", 1),
    Case("a second mail said openly is a second mail", START + GO + REST + EVIL, "250", 2),
    Case("injection by a control field", START + GO + b"X-Outrider-Strem: x\r\n" + REST, "550"),
    Case("recipients by a control field", START + GO + b'X-SMTPAPI: {"to": ["v@x.example"]}\r\n' + REST, "550"),
    Case("a bomb of json", START + GO + b"X-Outrider-Metadata: " + b"[" * 20_000 + b"\r\n" + REST, "550"),
]  # fmt: skip


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RelayRoom]:
    async with RelayRoom(tmp_path) as made:
        yield made


async def last_code(client: Client, says: bytes) -> str:
    """Say it and HELP behind it, and return the code before HELP's; if hung up on, the last one."""
    client.writer.write(says + b"HELP\r\n")
    codes: list[str] = []
    async with asyncio.timeout(WAIT_S):
        try:
            while (reply := await client.hear())[:3]:
                codes.append(reply[:3])
                if reply.startswith("214 "):
                    return codes[-2]
        except ConnectionError:
            pass
    return codes[-1] if codes else ""


async def check(room: RelayRoom, case: Case) -> None:
    client = await room.dial()
    await client.hear()
    assert await last_code(client, case.says) == case.code
    assert len(room.engine.calls) == case.count
    for submission in room.engine.submissions:
        assert submission.raw is not None
        assert b"\n.\n" not in submission.raw.replace(b"\r\n", b"|")
    honest = await room.logged_in()
    assert (await honest.send(MAIL)).startswith("250 ")
    assert room.journal.count("submission_failed") == 0


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in STRANGERS])
async def test_a_stranger_gets_nothing_out(room: RelayRoom, case: Case) -> None:
    await check(room, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in USERS])
async def test_a_user_gets_out_what_it_may(room: RelayRoom, case: Case) -> None:
    await check(room, case)


def test_there_are_enough_of_them() -> None:
    assert len(STRANGERS) + len(USERS) >= 60


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in STRANGERS if "endless" not in case.name])
async def test_nobody_relays_without_tls_where_passwords_need_it(tmp_path: Path, case: Case) -> None:
    listed = [(networks.parse("192.0.2.0/24"), "printers")]
    async with RelayRoom(tmp_path, is_plain_auth_on_loopback=False, networks=listed) as room:
        client = await room.dial()
        await client.hear()
        await last_code(client, case.says + ALL)
        assert room.engine.calls == []
        assert room.keys.shown == []


async def test_bare_line_ends_are_refused_where_the_settings_say_so(tmp_path: Path) -> None:
    async with RelayRoom(tmp_path, is_strict=True) as room:
        client = await room.logged_in()
        assert (await client.send(MAIL + b"a\nb\r\n")).startswith("550 5.6.0 ")
        assert (await client.send(MAIL + b"a\rb\r\n")).startswith("550 5.6.0 ")
        assert (await client.send(MAIL)).startswith("250 ")
        assert len(room.engine.calls) == 1


async def test_commands_behind_starttls_are_forgotten(room: RelayRoom) -> None:
    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", room.open_port.port), timeout=WAIT_S) as plain:
            plain.recv(1000)
            plain.sendall(EHLO)
            plain.recv(1000)
            plain.sendall(b"STARTTLS\r\n" + PLAIN.encode() + b"\r\n" + FROM)
            assert plain.recv(1000) == b"220 2.0.0 Go ahead\r\n"
            with trusting().wrap_socket(plain) as secured:
                secured.sendall(FROM)
                return secured.recv(1000)

    assert (await asyncio.to_thread(talk)).startswith(b"503 5.5.1 EHLO first")
    assert room.keys.shown == []


async def test_a_handshake_that_fails_ends_the_connection(room: RelayRoom) -> None:
    client = await room.dial()
    await client.greet()
    assert (await client.say("STARTTLS")).startswith("220 ")
    client.writer.write(b"EHLO again in the clear\r\n" * 50)
    async with asyncio.timeout(WAIT_S):
        try:
            while await client.hear():
                pass
        except (ConnectionError, UnicodeDecodeError):
            pass
    assert (await (await room.logged_in()).send(MAIL)).startswith("250 ")


async def test_a_hundred_thousand_resets_cost_no_memory(room: RelayRoom) -> None:
    before_bytes = usage.measure_one(os.getpid()).rss_bytes
    told_count = 0
    for _ in range(100):
        client = await room.logged_in()
        client.writer.write(b"RSET\r\n" * 1000)
        for _ in range(limits.SUBMISSION_IDLE_COMMANDS_COUNT_MAX):
            reply = await client.hear()
            told_count += reply.startswith("250 ")
            if reply.startswith("421 "):
                break
        client.writer.close()
    assert told_count >= 99_000
    assert usage.measure_one(os.getpid()).rss_bytes - before_bytes < 20_000_000


async def test_who_does_not_read_is_not_worked_for(room: RelayRoom) -> None:
    client = await room.dial()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    before_bytes = usage.measure_one(os.getpid()).rss_bytes
    for _ in range(50):
        client.writer.write(b"VRFY x\r\n" * 10_000)
    (talk,) = await _talks(room)
    assert talk is not None
    assert usage.measure_one(os.getpid()).rss_bytes - before_bytes < 30_000_000


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_gigabyte_of_data_costs_no_memory(room: RelayRoom) -> None:
    client = await room.logged_in()
    assert (await client.say(f"MAIL FROM:<a@shop.example> SIZE={1 << 30}")).startswith("552 ")
    await client.say("MAIL FROM:<a@shop.example>")
    await client.say("RCPT TO:<b@partner.example>")
    await client.say("DATA")
    part = (b"x" * 1022 + b"\r\n") * 1024
    highest_bytes = 0
    before_bytes = usage.measure_one(os.getpid()).rss_bytes
    for _ in range(1024):
        client.writer.write(part)
        await client.writer.drain()
        highest_bytes = max(highest_bytes, usage.measure_one(os.getpid()).rss_bytes)
    client.writer.write(b".\r\n")
    async with asyncio.timeout(60.0):
        assert (await client.hear()).startswith("552 5.3.4 ")
    assert highest_bytes - before_bytes < 2.5 * limits.SUBMISSION_MESSAGE_BYTES_MAX
    assert room.engine.calls == []
    assert (await client.send(MAIL)).startswith("250 ")


async def _talks(room: RelayRoom) -> list[object]:
    async with asyncio.timeout(WAIT_S):
        while not room.relay.talks:
            await asyncio.sleep(0)
    return list(room.relay.talks)
