"""The scripted peer, spoken to by hand: it behaves, misbehaves as told, and records."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from outrider.testing.peer import ADDRESS, LENIENT_END, Act, Move, Peer, Received, Script, Stage, TlsKind


class Caller:
    """The other side, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, *lines: bytes) -> bytes:
        self._writer.write(b"".join(line + b"\r\n" for line in lines))
        return await self.hear()

    async def hear(self) -> bytes:
        return await asyncio.wait_for(self._reader.readline(), 5)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer(Script(features=())) as peer:
        yield peer


@pytest.fixture
async def caller(peer: Peer) -> AsyncIterator[Caller]:
    caller = Caller(*await asyncio.open_connection(ADDRESS, peer.port))
    yield caller
    await caller.close()


async def test_octets_that_are_no_text_are_a_command_like_any_other(peer: Peer, caller: Caller) -> None:
    await caller.hear()
    assert (await caller.ask(b"\x16\x03\xfc")).startswith(b"500 ")
    assert peer.commands == ["\x16\x03\\xfc"]


async def test_a_mail_is_taken_and_recorded(peer: Peer, caller: Caller) -> None:
    assert (await caller.hear()).startswith(b"220 ")
    assert (await caller.ask(b"EHLO us")).startswith(b"250 ")
    assert (await caller.ask(b"MAIL FROM:<a@x.example> SIZE=5")).startswith(b"250 ")
    assert (await caller.ask(b"RCPT TO:<b@x.example>")).startswith(b"250 ")
    assert (await caller.ask(b"DATA")).startswith(b"354 ")
    assert (await caller.ask(b"hello", b"..", b".")).startswith(b"250 ")
    (mail,) = peer.received
    usual = Received("a@x.example", ("b@x.example",), b"hello\r\n..\r\n", False, "127.0.0.1", "us", mail.at_s)
    assert mail == usual
    assert mail.at_s <= asyncio.get_running_loop().time()
    assert peer.open_max == {"127.0.0.1": 1}
    assert peer.commands[0] == "EHLO us"
    assert (await caller.ask(b"QUIT")).startswith(b"221 ")
    await peer.until_idle()


async def test_refusals_are_by_table_and_order_is_minded(peer: Peer, caller: Caller) -> None:
    peer.script = Script(features=(), refused={"b@x.example": b"550 5.1.1 who\r\n"})
    await caller.hear()
    assert (await caller.ask(b"RCPT TO:<b@x.example>")).startswith(b"503 ")
    await caller.ask(b"MAIL FROM:<>")
    assert (await caller.ask(b"MAIL FROM:<>")).startswith(b"503 ")
    assert await caller.ask(b"RCPT TO:<b@x.example>") == b"550 5.1.1 who\r\n"
    assert (await caller.ask(b"DATA")).startswith(b"503 ")
    assert (await caller.ask(b"RSET")).startswith(b"250 ")
    assert (await caller.ask(b"MAIL FROM:<>")).startswith(b"250 ")
    assert (await caller.ask(b"NONSENSE")).startswith(b"500 ")
    assert (await caller.ask(b"STARTTLS")).startswith(b"502 ")


async def test_moves_act_as_often_as_told_and_the_script_can_be_changed(peer: Peer, caller: Caller) -> None:
    await caller.hear()
    peer.script = Script(features=(), moves={Stage.RSET: Move(Act.SAY, b"451 later\r\n", times_max=1)})
    assert await caller.ask(b"RSET") == b"451 later\r\n"
    assert (await caller.ask(b"RSET")).startswith(b"250 ")
    peer.script = Script(moves={Stage.RSET: Move(Act.DROP)})
    assert await caller.ask(b"RSET") == b""


async def test_a_held_reply_comes_with_the_release(peer: Peer, caller: Caller) -> None:
    await caller.hear()
    peer.script = Script(moves={Stage.RSET: Move(Act.HOLD)})
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(caller.ask(b"RSET"))
        await peer.reached(Stage.RSET)
        assert not answer.done()
        peer.release()
    assert answer.result().startswith(b"250 ")


async def test_a_careless_server_sees_an_end_where_there_is_none(peer: Peer, caller: Caller) -> None:
    peer.script = Script(features=(), end_of_data=LENIENT_END)
    await caller.hear()
    await caller.ask(b"MAIL FROM:<>")
    await caller.ask(b"RCPT TO:<b@x.example>")
    await caller.ask(b"DATA")
    assert (await caller.ask(b"one\n.\nRSET", b"two", b".")).startswith(b"250 ")
    assert peer.received[0].content == b"one\n"
    await caller.hear()
    assert "RSET" in peer.commands  # Smuggled: the same bytes are content to a strict server.


async def test_ehlo_offers_what_the_script_says(peer: Peer, caller: Caller) -> None:
    await caller.hear()
    peer.script = Script(features=("PIPELINING",), tls=TlsKind.GOOD, mechanisms=("PLAIN",))
    heard = [await caller.ask(b"EHLO us"), await caller.hear(), await caller.hear(), await caller.hear()]
    assert [line[4:].strip() for line in heard[1:]] == [b"PIPELINING", b"STARTTLS", b"AUTH PLAIN"]


async def test_leaving_closes_every_conversation() -> None:
    async with Peer(Script(moves={Stage.GREETING: Move(Act.HOLD)})) as peer:
        caller = Caller(*await asyncio.open_connection(ADDRESS, peer.port))
        await peer.reached(Stage.GREETING)
    with contextlib.suppress(ConnectionResetError):
        assert await caller.hear() == b""
    await caller.close()
