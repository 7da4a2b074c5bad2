"""Somebody answers, or it is said why not: real sockets, strangers of every kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from outrider.base.vocab import Phase
from outrider.net import probe
from outrider.net.selfsigned import SelfSigned
from outrider.net.settings import NetSettings
from outrider.net.tls import TlsContexts
from outrider.testing.program import free_ports
from outrider.wire.answer import Answer, Cause
from outrider.wire.smtp_client import TlsMode

HOST = "127.0.0.1"


class Stranger:
    """Says `says` to whoever connects, then hangs up, or waits; keeps what was said to it."""

    def __init__(self, says: bytes, *, is_patient: bool) -> None:
        self.says = says
        self.is_patient = is_patient
        self.heard = b""
        self.clients: list[str] = []
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append(writer.get_extra_info("peername")[0])
        try:
            writer.write(self.says)
            if self.is_patient:
                self.heard += await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.done.set()


@asynccontextmanager
async def stranger(says: bytes, *, is_patient: bool = True) -> AsyncIterator[tuple[int, Stranger]]:
    one = Stranger(says, is_patient=is_patient)
    server = await asyncio.start_server(one.serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], one
        async with asyncio.timeout(5):
            await one.done.wait()


@pytest.mark.parametrize(
    ("says", "text"),
    [
        (b"220 mx.example ESMTP\r\n", "220 mx.example ESMTP"),
        (b"220-hello\r\n220 there\r\n", "220-hello 220 there"),
        (b"554 go away\r\n", "554 go away"),
        (b"220 \x1b[2J\xff\r\n", "220 ?[2J\N{REPLACEMENT CHARACTER}"),
        (b"220 " + b"x" * 1000 + b"\r\n", "220 " + "x" * 156),
    ],
)
async def test_a_greeting_is_read_and_left_with_quit(says: bytes, text: str) -> None:
    async with stranger(says) as (port, one):
        assert await probe.greeting(HOST, port, wait_s=5, source="127.0.0.9") == text
    assert (one.heard, one.clients) == (b"QUIT\r\n", ["127.0.0.9"])


@pytest.mark.parametrize(
    ("says", "is_patient", "cause"),
    [
        (b"", True, Cause.TIMEOUT),
        (b"", False, Cause.RESET),
        (b"220-half\r\n", False, Cause.RESET),
        (b"HTTP/1.1 400 Bad\r\n", True, Cause.PROTOCOL),
        (b"x" * 100_000, True, Cause.PROTOCOL),
        (b"\r\n", True, Cause.PROTOCOL),
    ],
)
async def test_what_is_no_greeting_is_told(says: bytes, is_patient: bool, cause: Cause) -> None:
    async with stranger(says, is_patient=is_patient) as (port, _):
        answer = await probe.greeting(HOST, port, wait_s=0.3)
    assert answer == Answer(Phase.GREETING, None, cause)


async def test_a_greeting_without_end_ends() -> None:
    async with stranger(b"220-on and on\r\n" * 1000) as (port, _):
        assert str(await probe.greeting(HOST, port, wait_s=5)).startswith("220-on and on")


async def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    refused = Answer(Phase.CONNECT, None, Cause.REFUSED)
    assert await probe.greeting(HOST, port, wait_s=5) == refused
    assert await probe.http_status(HOST, port, "/readyz", wait_s=5) == refused
    assert await probe.greeting(HOST, port, wait_s=5, source="192.0.2.1") == Answer(
        Phase.CONNECT, None, Cause.UNREACHABLE
    )


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503),
        (b"220 mx.example ESMTP\r\n", Answer(Phase.GREETING, None, Cause.PROTOCOL)),
        (b"x" * 100_000, Answer(Phase.GREETING, None, Cause.PROTOCOL)),
        (b"", Answer(Phase.GREETING, None, Cause.TIMEOUT)),
    ],
)
async def test_a_page_has_a_status(says: bytes, answer: int | Answer) -> None:
    async with stranger(says) as (port, one):
        assert await probe.http_status(HOST, port, "/readyz", wait_s=0.3) == answer
    assert one.heard.startswith(b"GET /readyz HTTP/1.1\r\n")


async def test_a_page_that_hangs_up_is_told() -> None:
    async with stranger(b"", is_patient=False) as (port, _):
        answer = await probe.http_status(HOST, port, "/readyz", wait_s=5)
    assert isinstance(answer, Answer)
    assert (answer.phase, answer.cause) == (Phase.GREETING, Cause.RESET)


async def test_a_port_with_tls_from_the_first_octet_is_greeted_through_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay.example ESMTP\r\n")
        await reader.read()
        writer.close()

    tls = TlsContexts(NetSettings()).of(TlsMode.OPPORTUNISTIC)
    server = await asyncio.start_server(serve, HOST, 0, ssl=SelfSigned("relay.example").context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await probe.greeting(HOST, port, wait_s=5, tls=tls) == "220 relay.example ESMTP"
    async with stranger(b"220 in the clear\r\n", is_patient=False) as (port, _):
        assert await probe.greeting(HOST, port, wait_s=5, tls=tls) == Answer(Phase.GREETING, None, Cause.TLS)
