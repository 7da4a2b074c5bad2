"""Answers that go out bit by bit, over a real socket: who reads nothing is cut off, what breaks off can be told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest
from litestar import Litestar

from outrider.base import limits
from outrider.faces.api.v1 import face
from outrider.faces.api.v1.call import Call, Reply
from outrider.faces.api.v1.routes import Route
from outrider.testing.clock import RealClock
from outrider.testing.web import HOST, serving
from tests.unit.faces.conftest import ApiFace

pytestmark = pytest.mark.slow

CHUNK = b"x" * 65_536


class Source:
    """Chunks that a test counts."""

    def __init__(self, *, fails_after: int = 1_000_000) -> None:
        self.count = 0
        self.closed = asyncio.Event()
        self._fails_after = fails_after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self.count == self._fails_after:
                raise ValueError("broken")
            self.count += 1
            yield CHUNK

    async def aclose(self) -> None:
        self.closed.set()


def app(answer: Callable[[], Source | AsyncGenerator[bytes, None]]) -> Litestar:
    async def stream(call: Call) -> Reply:
        """Stream."""
        return Reply(content=answer(), media_type="text/plain")

    route = Route(method="GET", path="/stream", act=stream, scope=None, tag="Test")
    return Litestar(route_handlers=[face.mount(ApiFace().ports(), [route])], openapi_config=None, logging_config=None)


async def ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
    writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    return reader, writer


@pytest.mark.timeout(60)
async def test_who_reads_nothing_is_cut_off_and_fills_no_memory() -> None:
    source = Source()
    async with serving(app(lambda: source)) as port:
        began_s = RealClock().monotonic_s()
        _, writer = await ask(port)
        await asyncio.wait_for(source.closed.wait(), limits.STREAM_WRITE_WAIT_S + 5)
        assert RealClock().monotonic_s() - began_s >= limits.STREAM_WRITE_WAIT_S - 0.5
        assert source.count * len(CHUNK) < 2**25  # What the kernel holds.
        writer.close()


async def test_what_breaks_off_has_no_last_chunk() -> None:
    source = Source(fails_after=3)
    async with serving(app(lambda: source)) as port:
        reader, writer = await ask(port)
        heard = await asyncio.wait_for(reader.read(-1), 5)
        assert heard.count(CHUNK) == 3
        assert not heard.endswith(b"0\r\n\r\n")
        assert source.closed.is_set()
        writer.close()


async def test_who_hangs_up_gives_the_place_back() -> None:
    source = Source()
    async with serving(app(lambda: source)) as port:
        reader, writer = await ask(port)
        await reader.read(1000)
        writer.close()
        await asyncio.wait_for(source.closed.wait(), 5)


async def test_a_generator_will_do() -> None:
    async def few() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b"two"

    async with serving(app(few)) as port:
        reader, writer = await ask(port)
        heard = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        assert b"one" in heard
        assert b"two" in heard
        writer.close()
