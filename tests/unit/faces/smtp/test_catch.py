"""The catch receiver over a real socket: what it answers, and what is in the mailbox by then."""

import asyncio
import errno
import io
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from outrider.base import limits
from outrider.base.errors import ConfigError
from outrider.faces.smtp.catch import CatchServer
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.catch import Mailbox
from tests.unit.faces.conftest import StillClock

HOST = "127.0.0.1"
WAIT_S = 10.0


class Client:
    """Says lines and hears replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def hear(self) -> str:
        """Return the next whole reply, lines joined."""
        lines: list[str] = []
        async with asyncio.timeout(WAIT_S):
            while True:
                line = (await self._reader.readline()).decode()
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return "\n".join(lines)

    async def say(self, line: str | bytes) -> str:
        octets = line.encode() if isinstance(line, str) else line
        self.writer.write(octets + b"\r\n")
        return await self.hear()

    async def greet(self) -> str:
        assert (await self.hear()).startswith("220 ")
        return await self.say("EHLO client.example")

    async def send(self, content: bytes, sender: str = "<a@shop.example>", *recipients: str) -> str:
        assert (await self.say(f"MAIL FROM:{sender}")).startswith("250")
        for recipient in recipients or ("<b@x.example>",):
            assert (await self.say(f"RCPT TO:{recipient}")).startswith("250")
        assert (await self.say("DATA")).startswith("354")
        return await self.say(content + b".")

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class Catching:
    def __init__(self, directory: Path) -> None:
        self.mailbox = Mailbox(directory, clock=StillClock(), chance=random.Random(1))
        self.log = io.StringIO()
        self.server = CatchServer(self.mailbox, HOST, 0, log=make_logger(LogSettings(format="json"), "smtp", self.log))
        self._clients: list[Client] = []

    async def dial(self) -> Client:
        client = Client(*await asyncio.open_connection(HOST, self.server.port, limit=1 << 20))
        self._clients.append(client)
        return client

    async def contents(self) -> Sequence[bytes]:
        """The caught messages, newest first."""
        return [await self.mailbox.read(m.name) for m in (await self.mailbox.list(500)).messages]

    async def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        await self.server.stop()
        self.mailbox.close()


@pytest.fixture
async def catching(tmp_path: Path) -> AsyncIterator[Catching]:
    found = Catching(tmp_path / "box")
    await found.server.start()
    yield found
    await found.close()


async def test_a_message_is_on_disk_when_it_is_accepted(catching: Catching) -> None:
    client = await catching.dial()
    await client.greet()
    content = b"Subject: Hello\r\n\r\nBody\r\n"
    assert (await client.send(content, "<a@shop.example>", "<b@x.example>", "<c@y.example>")).startswith("250 2.0.0")
    assert await catching.contents() == [
        b"Return-Path: <a@shop.example>\r\nDelivered-To: b@x.example\r\nDelivered-To: c@y.example\r\n" + content
    ]


async def test_it_offers_what_the_delivery_engine_uses(catching: Catching) -> None:
    client = await catching.dial()
    offers = (await client.greet()).split("\n")
    words = {line[4:] for line in offers[1:]}
    assert {f"SIZE {limits.CAUGHT_MESSAGE_BYTES_MAX}", "8BITMIME", "SMTPUTF8", "PIPELINING"} <= words
    assert not any(word.startswith(("AUTH", "STARTTLS")) for word in words)


async def test_octets_are_kept_and_dots_are_unstuffed(catching: Catching) -> None:
    client = await catching.dial()
    await client.greet()
    wire = b"Subject: x\r\n\r\n..dot\r\n\x00\xff bare\rCR bare\nLF \xc3\xa9\r\n" + b"y" * 50_000 + b"\r\n"
    assert (await client.send(wire)).startswith("250")
    (content,) = await catching.contents()
    assert content.endswith(wire.replace(b"..dot", b".dot"))


async def test_a_bare_line_feed_ends_no_message(catching: Catching) -> None:
    client = await catching.dial()
    await client.greet()
    smuggled = b"Subject: x\r\n\r\n\n.\nMAIL FROM:<evil@x.example>\r\nx\n.\r\n.\n\r\n"
    assert (await client.send(smuggled)).startswith("250")
    assert len(await catching.contents()) == 1


async def test_non_ascii_addresses_are_taken(catching: Catching) -> None:
    client = await catching.dial()
    await client.greet()
    reply = await client.send(
        "Subject: ü\r\n\r\n".encode(), "<jörg@bücher.example> SMTPUTF8 BODY=8BITMIME", "<ü@ü.test>"
    )
    assert reply.startswith("250")
    assert "Return-Path: <jörg@bücher.example>\r\nDelivered-To: ü@ü.test\r\n".encode() in (await catching.contents())[0]


@pytest.mark.parametrize("sender", ["<>", "<> SIZE=5", '<"odd one"@x.example>', "<@route.example:a@x.example>"])
async def test_odd_senders_are_taken(catching: Catching, sender: str) -> None:
    client = await catching.dial()
    await client.greet()
    assert (await client.send(b"x\r\n", sender)).startswith("250")
    if sender.startswith("<>"):
        assert (await catching.contents())[0].startswith(b"Return-Path: <>\r\n")


async def test_pipelined_commands_are_answered_in_order(catching: Catching) -> None:
    client = await catching.dial()
    await client.greet()
    one = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n"
    client.writer.write(one)
    assert [(await client.hear())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    client.writer.write(b"Subject: 1\r\n\r\n.\r\n" + one)
    assert [(await client.hear())[:3] for _ in range(5)] == ["250", "250", "250", "250", "354"]
    client.writer.write(b"Subject: 2\r\n\r\n.\r\nQUIT\r\n")
    assert [(await client.hear())[:3] for _ in range(2)] == ["250", "221"]
    assert len(await catching.contents()) == 2


async def test_a_message_over_the_limit_is_refused_early_or_late(
    catching: Catching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CAUGHT_MESSAGE_BYTES_MAX", 1000)
    client = await catching.dial()
    await client.greet()
    assert (await client.say("MAIL FROM:<a@x.example> SIZE=1001")).startswith("552")
    assert (await client.send(b"x" * 70 + b"\r\n" + b"y" * 990 + b"\r\n")).startswith("552")
    assert (await client.send(b"z\r\n")).startswith("250")
    assert len(await catching.contents()) == 1


@pytest.mark.parametrize(
    ("number", "reply"), [(errno.ENOSPC, "452 4.3.1"), (errno.EDQUOT, "452 4.3.1"), (errno.EIO, "451 4.3.0")]
)
async def test_what_cannot_be_stored_is_refused_for_now(
    catching: Catching, monkeypatch: pytest.MonkeyPatch, number: int, reply: str
) -> None:
    async def deliver(*_: object) -> str:
        raise OSError(number, "secret path")

    client = await catching.dial()
    await client.greet()
    with monkeypatch.context() as patch:
        patch.setattr(catching.mailbox, "deliver", deliver)
        heard = await client.send(b"x\r\n")
    assert heard.startswith(reply)
    assert "secret" not in heard
    assert "catch_failed" in catching.log.getvalue()
    assert (await client.send(b"x\r\n")).startswith("250")


async def test_a_bug_of_ours_is_temporary_and_not_told(catching: Catching, monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliver(*_: object) -> str:
        raise RuntimeError("secret path")

    monkeypatch.setattr(catching.mailbox, "deliver", deliver)
    client = await catching.dial()
    await client.greet()
    heard = await client.send(b"x\r\n")
    assert heard.startswith("451 4.3.0")
    assert "secret" not in heard
    assert "secret path" in catching.log.getvalue()


async def test_a_client_that_hangs_up_mid_message_leaves_nothing(catching: Catching) -> None:
    client = await catching.dial()
    await client.greet()
    for line in ("MAIL FROM:<a@x.example>", "RCPT TO:<b@x.example>", "DATA"):
        await client.say(line)
    client.writer.write(b"Subject: half\r\n")
    await client.close()
    other = await catching.dial()
    await other.greet()
    assert (await other.send(b"Subject: whole\r\n")).startswith("250")
    (content,) = await catching.contents()
    assert b"whole" in content


async def test_over_the_limit_of_conversations_the_next_is_told_to_come_back(
    catching: Catching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CAUGHT_CONVERSATIONS_COUNT_MAX", 2)
    first, second = await catching.dial(), await catching.dial()
    await first.greet()
    await second.greet()
    third = await catching.dial()
    assert (await third.hear()).startswith("421 4.3.2")
    assert (await first.say("QUIT")).startswith("221")
    assert await first.hear() == ""  # It has hung up.
    fourth = await catching.dial()
    assert "PIPELINING" in await fourth.greet()


async def test_a_silent_client_is_hung_up_on(catching: Catching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAUGHT_WAIT_S", 0.02)
    client = await catching.dial()
    await client.greet()
    assert await client.hear() == ""


async def test_start_and_stop_are_safe_twice_and_end_conversations(tmp_path: Path) -> None:
    catching = Catching(tmp_path / "box")
    await catching.server.stop()
    assert catching.server.port == 0
    for _ in range(2):
        await catching.server.start()
        await catching.server.start()
        client = await catching.dial()
        await client.greet()
        await catching.server.stop()
        await catching.server.stop()
        with pytest.raises((ConnectionError, AssertionError)):
            assert await client.hear() != ""
    await catching.close()


async def test_a_taken_port_is_told(catching: Catching, tmp_path: Path) -> None:
    other = CatchServer(catching.mailbox, HOST, catching.server.port, log=make_logger(LogSettings(), "smtp"))
    with pytest.raises(OSError, match="address already in use"):
        await other.start()
    await other.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "", "localhost", "mail.example"])
def test_it_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    mailbox = Mailbox(tmp_path, clock=StillClock(), chance=random.Random(1))
    with pytest.raises(ConfigError):
        CatchServer(mailbox, host, 0, log=make_logger(LogSettings(), "smtp"))
    mailbox.close()
